"""What a worker does with a job: runs it once, and writes down how it ended.

This is one of the two places where every exception is caught: a job that cannot be done must not
take the worker with it, and must not be forgotten.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from lightbox.domain.errors import (
    CancelledError,
    ExplanationError,
    LedgerError,
    LightboxError,
    NotApplicableError,
    OperationError,
    ResultError,
    UnreadableError,
)
from lightbox.domain.events import JobFailed, JobMoved, JobPlaced, JobStarted
from lightbox.domain.jobs import Job, moved
from lightbox.domain.result import ListedReason
from lightbox.ports import Clock, Ledger, Step

_log = logging.getLogger(__name__)

_REASONS: tuple[tuple[type[LightboxError], ListedReason], ...] = (
    (UnreadableError, ListedReason.UNREADABLE),
    (NotApplicableError, ListedReason.NOT_APPLICABLE),
    (ExplanationError, ListedReason.WITHHELD),
    (ResultError, ListedReason.WITHHELD),
    (CancelledError, ListedReason.CANCELLED),
)


def _at_once(_: Job) -> None:
    """Let every job start."""


class Worker:
    """Handles the jobs that a queue hands it.

    Parameters
    ----------
    ledger : Ledger
        Where the job is found and its end is recorded.
    run : callable (job, step) → None
        Does the work and records what it finds out.
    clock : Clock
        Measures how long it took.
    may_start : callable (job) → None
        Raises HeldError where a person has stopped its model: then nothing is recorded.
    """

    def __init__(
        self,
        ledger: Ledger,
        run: Callable[[Job, Step], None],
        clock: Clock,
        may_start: Callable[[Job], None] = _at_once,
    ) -> None:
        self._ledger = ledger
        self._run = run
        self._clock = clock
        self._may_start = may_start
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def handle(self, job_id: str, step: Step) -> None:
        """Run a job; a job that has ended already is left alone.

        Raises
        ------
        LedgerError
            If the end could not be written down. The job is done again after the next start.
        OperationError
            If another thread does this job now.
        """
        with self._alone(job_id):
            job = self._job(job_id)
            if job is not None:
                self._do(job, step)

    def _do(self, job: Job, step: Step) -> None:
        self._may_start(job)
        self._ledger.record(JobStarted(job.study_instance_uid, job.job_id, job.attempt))
        started = self._clock.monotonic()
        try:
            self._run(job, step)
        except LedgerError:
            raise
        except LightboxError as error:
            self._fail(job, _reason(error), str(error))
        except Exception as error:  # noqa: BLE001  # a job must never end the worker
            # Only the type's name: the message of a foreign exception may quote the header.
            _log.debug("job %s failed", job.job_id, exc_info=True)
            self._fail(job, ListedReason.FAILED, f"unexpected {type(error).__name__}")
        else:
            seconds = self._clock.monotonic() - started
            _log.debug("job %s (%s, %s): done in %.3f s", job.job_id, job.path, job.model, seconds)

    def give_up(self, job_id: str, detail: str) -> None:
        """Record that a job is not tried again, as after it ended the process several times."""
        job = self._job(job_id)
        if job is not None:
            self._fail(job, ListedReason.FAILED, detail)

    @contextmanager
    def _alone(self, job_id: str) -> Iterator[None]:
        """Let one thread do a job: one that was moved may be handed out from both its places."""
        with self._lock:
            if job_id in self._running:
                raise OperationError(f"job {job_id}", "runs already", "it is asked for again later")
            self._running.add(job_id)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(job_id)

    def _job(self, job_id: str) -> Job | None:
        placed = self._ledger.find(f"job_placed:{job_id}")
        if placed is None or not isinstance(placed.event, JobPlaced):
            _log.warning("job %s: the ledger does not know it; it is not run", job_id)
            return None
        attempt = 1
        while self._ledger.find(f"job_retried:{job_id}:{attempt + 1}") is not None:
            attempt += 1
        job = replace(self._moved(placed.event.job), attempt=attempt)
        if self._ledger.find(f"results_written:{job_id}") is not None or has_failed(
            self._ledger, job
        ):
            return None
        return job

    def _moved(self, job: Job) -> Job:
        """Return the job with the urgency that it has now."""
        while found := self._ledger.find(f"job_moved:{job.job_id}:{job.moves + 1}"):
            move = found.event
            assert isinstance(move, JobMoved), move
            job = moved(job, move.urgency, move.deadline, move.rule, move.move)
        return job

    def _fail(self, job: Job, reason: ListedReason, detail: str) -> None:
        if has_failed(self._ledger, job):
            return  # a person cancelled it: that is recorded already
        _log.warning("job %s (%s, %s): %s: %s", job.job_id, job.path, job.model, reason, detail)
        study, job_id = job.study_instance_uid, job.job_id
        self._ledger.record(JobFailed(study, job_id, reason, detail, job.attempt))


def has_failed(ledger: Ledger, job: Job) -> bool:
    """Say whether this attempt at the job has an end that is not its results."""
    failed = JobFailed(
        job.study_instance_uid, job.job_id, ListedReason.FAILED, "", attempt=job.attempt
    )
    return ledger.find(failed.key) is not None


def _reason(error: LightboxError) -> ListedReason:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return ListedReason.FAILED
