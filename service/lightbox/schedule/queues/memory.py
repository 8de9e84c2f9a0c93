"""A queue that lives as long as its process: the port in its simplest shape.

For tests, for ``lightbox explain`` and for whoever wants to see what a queue has to do. Nothing
survives the process; the ledger places again at the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial

from lightbox.domain.errors import CancelledError, StoppingError
from lightbox.domain.jobs import Job, priority
from lightbox.domain.urgency import Urgency
from lightbox.ports import Handler
from lightbox.schedule.queues.lines import LINES, job_of, run_name
from lightbox.schedule.queues.steps import Steps

_log = logging.getLogger(__name__)


class MemoryQueue:
    """Hands jobs to ``workers`` threads, the most urgent first, within the rates of ``LINES``.

    Parameters
    ----------
    workers : int
        How many jobs run at once; with more than one, audits leave room for the others.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._known: set[str] = set()
        self._cancelled: set[str] = set()
        self._waiting: list[tuple[int, int, int, str, Urgency]] = []
        self._running: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._closing = False

    def place(self, job: Job) -> None:
        """Enqueue; placing a job twice is placing it once."""
        with self._changed:
            name = run_name(job)
            if name in self._known:
                return
            self._known.add(name)
            order = (job.urgency.rank, priority(job), len(self._known))
            self._waiting.append((*order, name, job.urgency))
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
            self._cancelled |= {name for name in self._known if job_of(name) == job_id}
            self._waiting = [entry for entry in self._waiting if entry[3] not in self._cancelled]

    def move(self, job: Job) -> None:
        """Let a job that waits wait in the place that its urgency has now."""
        with self._changed:
            others = [entry for entry in self._waiting if job_of(entry[3]) != job.job_id]
            is_waiting = len(others) < len(self._waiting)
            self._waiting = others
        if is_waiting:
            self.place(job)

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
            self._changed.wait_for(lambda: self._closing or self._startable() is not None)
            entry = self._startable()
            if self._closing or entry is None:
                return None
            self._waiting.remove(entry)
            self._running[entry[3]] = LINES[entry[4]].name
            return entry[3]

    def _startable(self) -> tuple[int, int, int, str, Urgency] | None:
        """Return the first job whose line has room."""
        lines = list(self._running.values())
        room = [e for e in self._waiting if lines.count(LINES[e[4]].name) < LINES[e[4]].concurrency]
        return min(room, default=None)

    def _work(self, handler: Handler) -> None:
        while (name := self._next()) is not None:
            job_id = job_of(name)
            try:
                handler(job_id, Steps(partial(self._run_step, name), lambda: self._closing))
            except StoppingError:
                _log.info("job %s: left for the next start", job_id)
            except Exception as error:  # noqa: BLE001  # what a handler throws must not end the thread
                _log.error("job %s: not done, %s", job_id, type(error).__name__)
            finally:
                with self._changed:
                    del self._running[name]
                    self._changed.notify_all()

    def _run_step(self, name: str, step: str, body: Callable[[], str]) -> str:
        with self._changed:
            if name in self._cancelled:
                raise CancelledError(f"step {step}", "its job was cancelled")
        return body()
