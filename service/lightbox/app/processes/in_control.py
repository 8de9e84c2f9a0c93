"""The parts of the control process that go by the configuration, and how they take up another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightbox.app import build
from lightbox.app.commitments import Commitments, asks
from lightbox.app.operate.operations import Operations
from lightbox.app.operate.retention import Retention
from lightbox.app.processes.control import Control
from lightbox.app.processes.live import ASKED_WITHIN
from lightbox.app.questions.off_peak import OffPeak
from lightbox.app.reload.deliveries import Deliveries
from lightbox.app.road import Describe, Road
from lightbox.domain.account import Account
from lightbox.domain.events import Recorded
from lightbox.domain.study_account import Expectations
from lightbox.receive.header import describe
from lightbox.schedule.place import Place
from lightbox.settings import Settings
from lightbox.storage.reserve import Reserve
from lightbox.studies.assemble import Assemble


def describing(settings: Settings, root: Path) -> Describe:
    """Return what reads of a stored file's header all that the rules look at."""
    keywords, nesting = build.rule_keywords(settings), settings.dicom.limits.nesting
    return lambda path: describe(root / path, keywords, nesting)


def expectations(settings: Settings, before: Expectations) -> Expectations:
    """Return who gets results and by when, for studies that come from now on."""
    return replace(
        before,
        destinations=tuple(each.name for each in settings.destinations),
        deadlines=build.deadlines(settings),
        commits=frozenset(each.name for each in settings.destinations if asks(each)),
    )


def kept_at_least(settings: Settings) -> float:
    """Return the seconds that files are kept however short the retention.

    While more images of a study are expected, and a destination may be asked for its promise.
    """
    arriving = settings.studies.force_after + settings.studies.quiet_period
    is_asked = any(asks(each) for each in settings.destinations)
    return max(arriving, ASKED_WITHIN if is_asked else 0.0)


@dataclass(frozen=True, slots=True)
class InControl:
    """Everything in control that another configuration changes."""

    root: Path
    account: Account
    assemble: Assemble
    place: Place
    road: Road
    deliveries: Deliveries
    commitments: Commitments
    control: Control
    operations: Operations
    reserve: Reserve
    off_peak: OffPeak
    retention: Retention
    history: Callable[[], Sequence[Recorded]]

    def take(self, settings: Settings) -> None:
        """Take it up: first make what can fail, then put all in place.

        Raises
        ------
        ConfigurationError
            If a rule or a destination cannot be made; all stays as it was.
        """
        rules, wants = build.rules(settings), build.Routing(settings).wants
        audits, deadlines = build.audit_policy(settings), build.deadlines(settings)
        put_in_place = self.deliveries.renew(settings.destinations)
        with self.control.lock:
            put_in_place()
            sends = self.deliveries.sends
            self.assemble.configure(settings.studies, rules)
            self.place.configure(deadlines)
            self.account.expected = expectations(settings, self.account.expected)
            self.road.configure(describing(settings, self.root), wants, audits, sends)
            self.operations.configure({e.name: (e, sends[e.name]) for e in settings.destinations})
            self.control.metrics.know_destinations([each.name for each in settings.destinations])
            self.reserve.configure(settings.storage.reserve)
            self.off_peak.configure(settings.audit.window)
            self.retention.configure(settings.storage.retention, kept_at_least(settings))
        self.commitments.configure(settings, sends, self.history)
