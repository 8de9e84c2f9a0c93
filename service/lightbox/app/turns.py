"""Turns on the device, for as long as the process goes on and nobody stops the job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TypeAlias

from lightbox.app.switch import Switch
from lightbox.domain.errors import CancelledError, HeldError, StoppingError
from lightbox.domain.jobs import Job
from lightbox.domain.urgency import Urgency
from lightbox.ports import Ledger
from lightbox.schedule.worker import has_failed
from lightbox.storage.files import Files

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
    """

    def __init__(self, ledger: Ledger, root: Path) -> None:
        self._ledger = ledger
        self._switch = Switch(root, Files())

    def stops(self, model: str) -> bool:
        """Say whether this model must not run now."""
        return self._switch.stops(model)

    def hold(self, job: Job) -> None:
        """Raise HeldError where the model of this job is stopped."""
        if self._switch.stops(job.model):
            raise HeldError(job.model)

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
