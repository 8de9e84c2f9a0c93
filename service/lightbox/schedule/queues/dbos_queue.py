"""The durable queue: DBOS Transact on a SQLite file (one host) or PostgreSQL (several).

The only module that knows DBOS. What it guards against is measured, and held by tests:

* the poll of each queue is set: the engine's default of 1 s also bounds its rate;
* SQLite is switched to write-ahead logging before anything else touches the file;
* STAT has a queue of its own, and every job a priority (none would be 0 and outrank all);
* the executor's identity is stable over restarts and locked: two would run one job twice;
* the application version is set by hand: a hash of the source would strand jobs at an upgrade;
* only identifiers and the steps' short texts are stored, never what an exception says;
* no console, no admin server, no telemetry: nothing goes over the network but PostgreSQL.

DBOS calls its SQLite store fit for development only; our kill -9 tests hold it to one host.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from dbos import error as engine

from lightbox.domain.errors import CancelledError, HeldError, StoppingError, UsageError
from lightbox.domain.jobs import Job, priority
from lightbox.domain.urgency import Urgency
from lightbox.ports import Handler
from lightbox.schedule.queues.hush import hush
from lightbox.schedule.queues.identity import alone, claim
from lightbox.schedule.queues.lines import (
    AUDIT,
    FAST,
    LINES,
    STAT,
    URGENCIES,
    job_of,
    run_name,
    workflow_name,
)
from lightbox.schedule.queues.steps import Steps

_log = logging.getLogger(__name__)

_APPLICATION = "lightbox"
_VERSION = "1"
"""Of the order of steps in a job; bump it only when that changes."""
_TRIES = 3
"""Times that a job may take the process with it before it is given up."""
_REVIVE_EVERY = 60.0
_UNFINISHED = "unfinished"
_QUARANTINED = "quarantined"
_HELD = "held"


class DbosQueueClient:
    """Places, cancels and counts jobs; executes none.

    Parameters
    ----------
    store : Path or str
        A SQLite file, made where it is missing, or ``postgresql://…``.
    """

    def __init__(self, store: Path | str) -> None:
        hush()
        self.url = f"sqlite:///{store}" if isinstance(store, Path) else store
        with alone(store) if isinstance(store, Path) else nullcontext():
            self._client = DBOSClient(
                system_database_url=self.url,
                serializer=DBOSPortableJSONSerializer(),
                application_name=_APPLICATION,
                lazy=True,
            )
            if isinstance(store, Path):
                self._write_ahead()
            DBOS.migrate(self.url)

    def place(self, job: Job) -> None:
        """Enqueue; placing a job twice is placing it once."""
        options = EnqueueOptions(
            workflow_name=workflow_name(job.urgency),
            queue_name=LINES[job.urgency].name,
            workflow_id=run_name(job),
            app_version=_VERSION,
            priority=priority(job),
        )
        self._client.enqueue(options, job.job_id)

    def serve(self, handler: Handler) -> None:
        """Refuse: a client executes nothing.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError("queue client", f"cannot run {handler}", "serve with a DbosQueue")

    def cancel(self, job_id: str) -> None:
        """Let it not start, or stop it at its next step."""
        found = self._client.list_workflows(
            workflow_id_prefix=job_id,
            status=["ENQUEUED", "PENDING"],
            load_input=False,
            load_output=False,
        )
        for status in found:  # one per attempt
            with suppress(engine.DBOSNonExistentWorkflowError):
                self._client.cancel_workflow(status.workflow_id)

    def move(self, job: Job) -> None:
        """Let a job that waits wait in the place that its urgency has now.

        The engine cannot change a priority: a new workflow takes the place of the old one. Where
        both get to run, the worker lets only one of them.
        """
        waiting = self._client.list_workflows(
            workflow_id_prefix=job.job_id, status="ENQUEUED", load_input=False, load_output=False
        )
        if waiting:
            self.place(job)
        for status in waiting:
            if status.workflow_id != run_name(job):
                self._client.cancel_workflow(status.workflow_id)

    def waiting(self) -> Mapping[str, int]:
        """Return how many jobs wait, by urgency."""
        counts = {urgency.value: 0 for urgency in Urgency}
        for status in self._client.list_workflows(
            status="ENQUEUED", load_input=False, load_output=False
        ):
            urgency = URGENCIES.get(status.name)
            if urgency is not None:
                counts[urgency.value] += 1
        return counts

    def quarantined(self) -> tuple[str, ...]:
        """Return the jobs that were given up because they took the process with them."""
        return tuple(job_of(name) for name in self._ended_with(_QUARANTINED))

    def revive(self) -> int:
        """Enqueue all unfinished jobs once more, as after a full disk; return how many."""
        return self._enqueue_again(self._ended_with(_UNFINISHED))

    def forget(self, before: str, most: int = 1000) -> int:
        """Delete rows of jobs that ended before this moment (ISO 8601); return how many.

        The oldest first and ``most`` at a time, about a millisecond each: nobody waits for it.
        What became of a job stands in the ledger; here only its row ends.
        """
        ended = self._client.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            completed_before=before,
            limit=most,
            load_input=False,
            load_output=False,
        )
        waiting = self._ended_with(_UNFINISHED).keys() | self._ended_with(_HELD).keys()
        over = {status.workflow_id for status in ended} - waiting
        for job_id in over:
            self._client.delete_workflow(job_id)
        return len(over)

    def close(self, seconds: float) -> None:
        """Disconnect."""
        del seconds
        self._client.destroy()

    def _enqueue_again(self, ended: Mapping[str, Urgency]) -> int:
        for name, urgency in ended.items():
            self._client.rewind_workflow(name, start_step=1, queue_name=LINES[urgency].name)
        return len(ended)

    def _write_ahead(self) -> None:
        # The engine offers no setting for it, and its default journal is 4 to 6 times slower.
        store = self._client._sys_db.engine  # noqa: SLF001  # dbos is pinned; a test reads the mode
        with store.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def _ended_with(self, mark: str) -> dict[str, Urgency]:
        ended = self._client.list_workflows(status="ERROR", load_input=False)
        return {
            status.workflow_id: URGENCIES[status.name]
            for status in ended
            if status.error is not None and str(status.error) == mark
        }


class DbosQueue(DbosQueueClient):
    """A client that executes jobs too; one per process.

    Parameters
    ----------
    store : Path or str
        As for the client.
    executor_id : str
        Unique among all processes on this store and the same after each restart.
    lock_folder : Path
        Where the lock on the identity lives.
    give_up : callable (job id, sentence) → None
        Is told of each job that took the process with it too often.
    """

    def __init__(
        self,
        store: Path | str,
        executor_id: str,
        lock_folder: Path,
        give_up: Callable[[str, str], None],
    ) -> None:
        self._lock = claim(executor_id, lock_folder)
        super().__init__(store)
        self._executor_id = executor_id
        self._give_up = give_up
        self._changed = threading.Condition()
        self._running: set[str] = set()
        self._interrupted: set[str] = set()
        self._held: dict[str, str] = {}
        self._idle: set[str] = set()
        self._closing = threading.Event()

    def serve(self, handler: Handler) -> None:
        """Start executing jobs, those first that a crash interrupted; returns at once."""
        for line in (STAT, FAST, AUDIT):
            self._client.register_queue(
                line.name, worker_concurrency=line.concurrency, polling_interval_sec=line.poll
            )
        self.revive()
        self._enqueue_again(self._ended_with(_HELD))
        DBOS(
            config=DBOSConfig(
                name=_APPLICATION,
                system_database_url=self.url,
                application_version=_VERSION,
                executor_id=self._executor_id,
                serializer=DBOSPortableJSONSerializer(),
                log_level="WARNING",
                enable_otlp=False,
                max_executor_threads=16,
            )
        )
        for urgency in Urgency:
            self._register(urgency, handler)
        DBOS.launch()
        threading.Thread(target=self._watch, name="queue-watch", daemon=True).start()

    def revive(self) -> int:
        """Enqueue once more what was left: unfinished jobs, and our own that were interrupted."""
        with self._changed:
            left = self._interrupted - self._running
            self._interrupted -= left
        return self._release(left | self._lost()) + super().revive()

    def _lost(self) -> set[str]:
        """Return our jobs that the engine holds for running and no thread runs, at two looks."""
        held = self._client.list_workflows(
            status="PENDING", executor_id=self._executor_id, load_input=False, load_output=False
        )
        with self._changed:
            idle = {status.workflow_id for status in held} - self._running - self._interrupted
            lost, self._idle = idle & self._idle, idle
        return lost

    def release(self, stopped: Callable[[str], bool]) -> int:
        """Enqueue what was held once more, where its model is not stopped now; return how many.

        Costs nothing where nothing is held, so it may be asked often.
        """
        with self._changed:
            free = {name for name, model in self._held.items() if not stopped(model)}
        if not free:
            return 0
        ended = {n: u for n, u in self._ended_with(_HELD).items() if n in free}  # not yet: later
        with self._changed:
            for name in ended:
                del self._held[name]
        return self._enqueue_again(ended)

    def close(self, seconds: float) -> None:
        """Stop taking jobs, wait at most so long for the running ones; the others wait on."""
        self._closing.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._running, timeout=seconds)
        DBOS.destroy(destroy_registry=True)
        # What is still in a thread ends with the process; it did not take the process with it.
        self._release(self._interrupted | self._running)
        super().close(0.0)
        self._lock.close()

    def _watch(self) -> None:
        while not self._closing.wait(_REVIVE_EVERY):
            try:
                self.revive()
            except Exception as error:  # noqa: BLE001  # the watch outlives a store that is gone
                _log.warning("queue: nothing revived, %s", type(error).__name__)

    def _release(self, jobs: Collection[str]) -> int:
        """Give jobs that are still ours back to their lines, tries reset."""
        if not jobs:
            return 0  # the engine takes an empty list for "all"
        held = self._client.list_workflows(
            workflow_ids=list(jobs),
            status="PENDING",
            executor_id=self._executor_id,
            load_input=False,
            load_output=False,
        )
        for status in held:
            line = LINES[URGENCIES[status.name]]
            self._client.resume_workflow(status.workflow_id, queue_name=line.name)
        return len(held)

    def _tries(self, name: str) -> int:
        found = self._client.list_workflows(
            workflow_ids=[name], load_input=False, load_output=False
        )
        return (found[0].recovery_attempts or 0) if found else 0

    def _register(self, urgency: Urgency, handler: Handler) -> None:
        def execute(job_id: str) -> str:
            return self._execute(job_id, handler)

        # Tries are counted here, not by the engine, because somebody must be told.
        DBOS.workflow(name=workflow_name(urgency), max_recovery_attempts=None)(execute)

    def _execute(self, job_id: str, handler: Handler) -> str:
        name = DBOS.workflow_id or job_id
        with self._changed:
            self._running.add(name)
        try:
            return self._handle(name, job_id, handler)
        except HeldError as held:
            with self._changed:
                self._held[name] = held.model
            # An end, so that it takes no slot from the jobs of other models.
            raise _EndedError(_HELD) from None
        except StoppingError:
            with self._changed:
                self._interrupted.add(name)
            raise
        finally:
            with self._changed:
                self._running.discard(name)
                self._changed.notify_all()

    def _handle(self, name: str, job_id: str, handler: Handler) -> str:
        if self._closing.is_set():
            raise StoppingError(f"job {job_id}")
        is_poison = self._tries(name) > _TRIES
        try:
            if is_poison:
                self._give_up(job_id, f"it stopped the process {_TRIES} times")
            else:
                handler(job_id, Steps(_run_step, self._closing.is_set))
        except Exception as error:  # noqa: BLE001  # a message of others must not reach the tables
            _log.error("job %s: not done, %s", job_id, type(error).__name__)
            raise _EndedError(_UNFINISHED) from None
        if is_poison:
            raise _EndedError(_QUARANTINED)
        return "done"


class _EndedError(Exception):
    """How a job ended, for the engine's tables: one of our words, no message of others."""


def _run_step(name: str, body: Callable[[], str]) -> str:
    try:
        return DBOS.run_step({"name": name}, body)
    except engine.DBOSWorkflowCancelledError:
        raise CancelledError(f"step {name}", "its job was cancelled") from None
