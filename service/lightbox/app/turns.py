"""Turns on the device, for as long as the process goes on and nobody stops the job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TypeAlias

from lightbox.app.operate.switch import Switch
from lightbox.app.questions.off_peak import OFF_PEAK, OffPeak
from lightbox.domain.errors import CancelledError, DeferredError, HeldError, StoppingError
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.urgency import Urgency
from lightbox.ports import Clock, Ledger
from lightbox.schedule.worker import has_failed
from lightbox.storage.files import Files

_DEFERRED_FOR = 300.0
"""Seconds until audits that found no memory are tried again."""

Turn: TypeAlias = Callable[[Urgency, float], AbstractContextManager[object]]
"""(urgency, deadline) → the device, when it is ours."""


def until_stopped(turn: Turn, stopping: threading.Event) -> Turn:
    """Let nobody begin a turn once the process stops: the job goes on at the next start."""

    @contextmanager
    def guarded(urgency: Urgency, deadline: float) -> Iterator[None]:
        if stopping.is_set():
            raise StoppingError
        with turn(urgency, deadline):
            yield

    return guarded


class Brake:
    """Says before every start, every chunk and every writing whether a job may go on.

    Parameters
    ----------
    ledger : Ledger
        Knows which jobs were cancelled.
    root : Path
        The data directory, where the stop switch is.
    clock : Clock
        Tells when deferred audits may try again.
    deferred : callable (model, words) → None
        Is told why audits of a model wait, and "" when they may go on.
    off_peak : OffPeak or None
        The hours of audits that nobody asked for; None: always.
    """

    def __init__(
        self,
        ledger: Ledger,
        root: Path,
        clock: Clock,
        deferred: Callable[[str, str], None] = lambda _model, _words: None,
        off_peak: OffPeak | None = None,
    ) -> None:
        self._ledger = ledger
        self._switch = Switch(root, Files())
        self._clock = clock
        self._deferred = deferred
        self._off_peak = off_peak or OffPeak("", clock)
        self._until: dict[str, tuple[float, str]] = {}

    def stops(self, held: str) -> bool:
        """Say whether this model, or the audits of one (``HeldError.model``), must not run now."""
        if held == OFF_PEAK:
            return not self._off_peak.is_open()
        until, model = self._until.get(held, (0.0, ""))
        if until > self._clock.monotonic():
            return True
        if self._until.pop(held, None) is not None:
            self._deferred(model, "")
        return self._switch.stops(model or held)

    def hold(self, job: Job) -> None:
        """Raise HeldError where the model of this job is stopped, or its audit has to wait."""
        if self._switch.stops(job.model):
            raise HeldError(job.model)
        if self._off_peak.holds(job):
            raise HeldError(OFF_PEAK)
        if self._until and job.path is JobPath.AUDIT:
            deferred = DeferredError(job.model)
            if self.stops(deferred.model):
                raise deferred

    def defer(self, job: Job, reason: str) -> DeferredError:
        """Let audits of this model wait; return what ends the job for now."""
        deferred = DeferredError(job.model)
        self._until[deferred.model] = (self._clock.monotonic() + _DEFERRED_FOR, job.model)
        self._deferred(job.model, reason)
        return deferred

    def check(self, job: Job) -> None:
        """Raise HeldError as :meth:`hold` does, CancelledError where a person cancelled the job."""
        self.hold(job)
        if has_failed(self._ledger, job):
            raise CancelledError(f"job {job.job_id}", "a person cancelled it")


def keeping(
    kept: ExitStack, turn: Callable[[], AbstractContextManager[object]]
) -> Callable[[], AbstractContextManager[object]]:
    """Make a turn that, once taken, is given back only when ``kept`` is closed."""
    taken: list[object] = []

    def turn_once() -> AbstractContextManager[object]:
        if not taken:
            taken.append(kept.enter_context(turn()))
        return nullcontext()

    return turn_once
