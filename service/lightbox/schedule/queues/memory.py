"""A queue that lives as long as its process: the port in its simplest shape.

For tests, for ``lightbox explain`` and for whoever wants to see what a queue has to do. Nothing
survives the process; the ledger places again at the next start.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable, Mapping

from lightbox.domain.errors import CancelledError, StoppingError
from lightbox.domain.jobs import Job, priority
from lightbox.domain.urgency import Urgency
from lightbox.ports import Handler

_log = logging.getLogger(__name__)


class MemoryQueue:
    """Hands jobs to ``workers`` threads, the most urgent first.

    Parameters
    ----------
    workers : int
        How many jobs run at once.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._known: set[str] = set()
        self._cancelled: set[str] = set()
        self._waiting: list[tuple[int, int, int, str, Urgency]] = []
        self._running: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False

    def place(self, job: Job) -> None:
        """Enqueue; placing a job twice is placing it once."""
        with self._changed:
            if job.job_id in self._known:
                return
            self._known.add(job.job_id)
            order = (job.urgency.rank, priority(job), len(self._known))
            heapq.heappush(self._waiting, (*order, job.job_id, job.urgency))
            self._changed.notify_all()

    def serve(self, handler: Handler) -> None:
        """Start the threads; returns at once."""
        for number in range(self._workers):
            thread = threading.Thread(
                target=self._work, args=(handler,), name=f"queue-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def cancel(self, job_id: str) -> None:
        """Let it not start, or stop it at its next step."""
        with self._changed:
            self._cancelled.add(job_id)
            self._waiting = [entry for entry in self._waiting if entry[3] != job_id]
            heapq.heapify(self._waiting)

    def waiting(self) -> Mapping[str, int]:
        """Return how many jobs wait, by urgency."""
        with self._changed:
            urgencies = [entry[4] for entry in self._waiting]
        return {urgency.value: urgencies.count(urgency) for urgency in Urgency}

    def close(self, seconds: float) -> None:
        """Stop taking jobs, wait at most so long for the running ones."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running, timeout=seconds)

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or bool(self._waiting))
            if self._closing:
                return None
            job_id = heapq.heappop(self._waiting)[3]
            self._running.add(job_id)
            return job_id

    def _work(self, handler: Handler) -> None:
        while (job_id := self._next()) is not None:
            try:
                handler(job_id, _Steps(self, job_id))
            except StoppingError:
                _log.info("job %s: left for the next start", job_id)
            except Exception as error:  # noqa: BLE001  # what a handler throws must not end the thread
                _log.error("job %s: not done, %s", job_id, type(error).__name__)
            finally:
                with self._changed:
                    self._running.discard(job_id)
                    self._changed.notify_all()

    def check(self, job_id: str) -> None:
        """Raise where a job must not go on.

        Raises
        ------
        StoppingError
            If the queue is being closed.
        CancelledError
            If the job was cancelled.
        """
        with self._changed:
            if self._closing:
                raise StoppingError(f"job {job_id}")
            if job_id in self._cancelled:
                raise CancelledError(f"job {job_id}", "was cancelled")


class _Steps:
    """Runs each step once while the process lives."""

    def __init__(self, queue: MemoryQueue, job_id: str) -> None:
        self._queue = queue
        self._job_id = job_id

    def __call__(self, name: str, function: Callable[[], str]) -> str:
        del name
        self._queue.check(self._job_id)
        return function()
