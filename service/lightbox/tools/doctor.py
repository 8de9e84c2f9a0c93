"""``lightbox doctor``: whether everything is well, and if not, what is wrong and what mends it.

It looks and asks; it changes nothing, and does no harm beside a running service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from lightbox.app.layout import Layout
from lightbox.app.site_check import not_yet, problems
from lightbox.domain.errors import LightboxError
from lightbox.ports import Clock
from lightbox.settings import DestinationSettings, Loaded, Settings
from lightbox.tools.doctor_checks import machine, records
from lightbox.tools.doctor_checks.call import ANSWER_SECONDS
from lightbox.tools.doctor_checks.certificate import certificate
from lightbox.tools.doctor_checks.destinations import there
from lightbox.tools.doctor_checks.finding import Finding, failed, note, well, wrong
from lightbox.tools.doctor_checks.models import models
from lightbox.tools.doctor_checks.security import weak_settings
from lightbox.tools.doctor_checks.service import service
from lightbox.tools.doctor_checks.way_back import listener, way_back

_AT_ONCE = 8

Question = tuple[str, Callable[[], Iterable[Finding]]]
"""Name, and how to ask; the name stands for the answer where asking itself fails."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of asking."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; notes are not."""
        return all(finding.ok for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` prints."""
        return {"ok": self.ok, "checks": [asdict(finding) for finding in self.findings]}


def examine(loaded: Loaded, clock: Clock, answer_seconds: float = ANSWER_SECONDS) -> Diagnosis:
    """Look at the configuration, the service, the network, the machine and the records.

    Parameters
    ----------
    loaded : Loaded
        The configuration.
    clock : Clock
        The system's clock, which is itself looked at.
    answer_seconds : float
        How long to wait for each answer of a destination.
    """
    settings = loaded.settings
    at = Layout(Path(settings.data_dir))
    first: list[Question] = [
        ("configuration", lambda: configuration(loaded)),
        ("service", lambda: service(settings, at.root, clock)),
        ("listener", lambda: listener(settings.dicom, at.root)),
        ("dicom.tls", lambda: certificate(settings.dicom.tls, clock)),
    ]
    last: list[Question] = [
        ("disk", lambda: machine.disk(settings)),
        ("data_dir", lambda: machine.data_dir(settings)),
        ("ledger", lambda: records.ledger(at.ledger)),
        ("clock", lambda: records.clock(at.ledger, clock)),
        ("dead letters", lambda: records.dead_letters(settings, at.ledger)),
        ("refused classes", lambda: records.refused(settings, at.ledger)),
        ("models", lambda: models(settings)),
        ("validation", machine.validation),
    ]
    peers = [_peer(given, settings, at.root, answer_seconds) for given in settings.destinations]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # who does not answer costs its time only once
        asked = pool.map(_ask, peers)
        before = [finding for question in first for finding in _ask(question)]
        between = [finding for answers in asked for finding in answers]
    after = [finding for question in last for finding in _ask(question)]
    return Diagnosis((*before, *between, *after))


def weaknesses(loaded: Loaded) -> Diagnosis:
    """List every weak setting; nothing is asked over the network."""
    return Diagnosis(tuple(_ask(("security", lambda: weak_settings(loaded)))))


def configuration(loaded: Loaded) -> Iterator[Finding]:
    """Look for what no single key can show to be wrong, and for keys that nobody honours yet."""
    name, settings = "configuration", loaded.settings
    found = [failed(name, problem) for problem in problems(settings)]
    yield from found
    for line in not_yet(settings):
        yield note(name, line, "leave the key at its default until it is honoured")
    if not found:
        yield well(name, f"{loaded.file or 'no file: defaults and environment'}: nothing is wrong")
    if not settings.destinations:
        yield note(
            "destinations",
            "there is none: results stay in data_dir",
            "add [[destinations]] with name, ae_title, host and port",
        )


def _peer(
    given: DestinationSettings, settings: Settings, root: Path, answer_seconds: float
) -> Question:
    def both_ways() -> Iterator[Finding]:
        yield from there(given, settings, answer_seconds)
        if not given.stow:
            yield way_back(given, settings.dicom, root)

    return (f"destination {given.name}", both_ways)


def _ask(question: Question) -> list[Finding]:
    """Ask; a question that cannot even be asked must not keep the others from being asked."""
    name, ask = question
    answers: list[Finding] = []
    try:
        answers.extend(ask())
    except LightboxError as error:
        answers.append(failed(name, error))
    except OSError as error:
        thing = f"{error.filename}: " if error.filename else ""
        answers.append(
            wrong(name, f"{thing}{error.strerror or error}", "run as the user of the service")
        )
    return answers
