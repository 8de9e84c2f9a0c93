"""The ``control`` role: reads every chain as it grows and leads each event on.

The account (where everything stands), the metrics and the road are fed by the same rows, in the
same order, so what a person sees is what the service acts on.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lightbox.app.doorbell import Doorbell
from lightbox.app.operate.last_words import LastWords
from lightbox.app.operate.operations import Operations
from lightbox.app.processes.live import Live
from lightbox.app.processes.notices import condition_of
from lightbox.app.processes.prover import Prover
from lightbox.app.road import Road
from lightbox.deliver.outbox import still_to_send
from lightbox.deliver.send import Send
from lightbox.domain.account import Account
from lightbox.domain.commitment import Committed
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    JobFailed,
    JobStarted,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.levels import Levels
from lightbox.domain.urgency import Urgency
from lightbox.infer.packages import LoadedPackage
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.logs import log_job
from lightbox.metrics import Metrics
from lightbox.ports import Clock, Queue
from lightbox.settings import Loaded, Settings
from lightbox.storage.reserve import Reserve

_LOOK_ANYWAY = 0.25


class Control:
    """One thread that follows the ledger; other threads read the account under its lock."""

    def __init__(
        self,
        *,
        settings: Settings,
        root: Path,
        ledger: SqliteLedger,
        queue: Queue,
        account: Account,
        metrics: Metrics,
        road: Road,
        free_bytes: Callable[[], int],
        clock: Clock,
        arrived_within: float,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._queue = queue
        self.account = account
        self.metrics = metrics
        self._road = road
        self._free_bytes = free_bytes
        self._clock = clock
        self._root = root
        self._bell = Doorbell(root, "control")
        self.lock = threading.RLock()
        self.last_words = LastWords()
        self.watchers: list[Callable[[Sequence[Recorded]], None]] = []
        self._associations = 0
        self._running: dict[str, Job] = {}
        self._dead: set[tuple[str, str]] = set()
        self._live = Live(ledger, account, self.lock, clock, arrived_within)
        self.read_model = ReadModel(ledger.folder, account.expected)

    def resume(self) -> tuple[Recorded, ...]:
        """Take in what is live, lead on what the last run left behind; return its rows."""
        history = self._live.resume()
        for recorded in history:
            self._keep_count(recorded, self._job_of(recorded))
        for given in self._settings.destinations:
            for parcel in still_to_send(history, given):
                self._road.send_on(parcel, given.name, self.account.placed_job(parcel.job_id))
        self._road.resume(self.account, history, self._live.waited_since)
        return history

    def run(self, stopping: threading.Event, *errands: Callable[[], None]) -> None:
        """Follow the ledger until told to stop; run the errands after each look at it."""
        due: float | None = None
        while not stopping.is_set():
            patience = _LOOK_ANYWAY
            if due is not None:
                patience = min(patience, max(0.0, due - self._clock.now()))
            self._hear(self._bell.wait(patience))
            while rows := self._ledger.since(self.account.positions):
                self._follow(rows)
            self._road.forget(self._live.look())
            due = self._road.tick()  # last: what becomes ready is followed before it is forgotten
            for errand in errands:
                errand()

    def close(self) -> None:
        """Stop hearing; leave the read model as it should be."""
        self._bell.close()
        self._live.close()
        self.read_model.close()

    def exposition(self) -> bytes:
        """Return the metrics as they are now."""
        with self.lock:
            self.metrics.set_levels(self._levels(), self._clock.now())
        return self.metrics.exposition()  # 10 ms of text for a large site: no event waits for it

    def _follow(self, rows: Sequence[Recorded]) -> None:
        """Take all rows in before any is led on: a clock that was set back may shuffle them."""
        self._road.recall(self._live.take(rows))
        with self.lock:
            jobs = [self._job_of(recorded) for recorded in rows]
            for recorded, job in zip(rows, jobs, strict=True):
                self._keep_count(recorded, job)
                self.metrics.observe_event(recorded, job)
        for recorded, job in zip(rows, jobs, strict=True):
            self._log(recorded, job)
            self._road.follow(recorded, job)
        for watch in self.watchers:
            watch(rows)

    def _job_of(self, recorded: Recorded) -> Job | None:
        job_id = getattr(recorded.event, "job_id", None)
        return self.account.placed_job(job_id) if job_id else None

    def _hear(self, messages: list[bytes]) -> None:
        """Take in what other processes count: what is not in the ledger, such as refusals."""
        for message in messages:
            if not message:
                continue
            try:
                said: Mapping[str, object] = json.loads(message)
            except ValueError:
                continue
            with self.lock:
                self._count(said)

    def _count(self, said: Mapping[str, object]) -> None:
        active, status = said.get("associations_active"), said.get("status")
        if isinstance(active, int):
            self._associations = active
        waited, urgency = said.get("behind_audit"), said.get("urgency")
        if isinstance(waited, int | float) and urgency in {Urgency.STAT, Urgency.HIGH}:
            self.metrics.count_preemption(float(waited))
        images, model = said.get("batch"), said.get("model")
        if isinstance(images, int) and isinstance(model, str):
            self.metrics.count_pass(model, images)
        held, path = said.get("held"), said.get("path")
        if isinstance(held, int | float) and path in set(JobPath):
            self.metrics.device_seconds.labels(path).inc(max(0.0, held))
        refused = isinstance(status, str) and status.startswith("0x") and status != "0x0000"
        if refused:
            self.metrics.count_received(str(said.get("calling_ae", "")), int(str(status), 16), 0, 0)

    def _levels(self) -> Levels:
        running = Counter(job.path.value for job in self._running.values())
        return Levels(
            associations_active=self._associations,
            storage_free_bytes=self._free_bytes(),
            jobs_waiting=self._queue.waiting(),
            jobs_running=running,
            dead_letters=len(self._dead),
            condition=condition_of(self._root),
        )

    def _keep_count(self, recorded: Recorded, job: Job | None) -> None:
        """Know which jobs run and which results are dead letters, without asking the account."""
        self.last_words.take(recorded)
        match recorded.event:
            case JobStarted() as event if job is not None:
                self._running[event.job_id] = job
            case ResultsWritten() as event:
                self._running.pop(event.job_id, None)
            case JobFailed() as event:
                self._running.pop(event.job_id, None)
            case DeadLettered() as event:
                self._dead.add((event.sop_instance_uid, event.destination))
            case Delivered() | DeliveryDelayed() | DeliveryRevived() | Committed() as event:
                self._dead.discard((event.sop_instance_uid, event.destination))
            case _:
                pass

    def _log(self, recorded: Recorded, job: Job | None) -> None:
        """Write the one canonical line of a job, when it ends."""
        if job is None or not isinstance(recorded.event, Delivered | JobFailed | DeadLettered):
            return
        if isinstance(recorded.event, Delivered | DeadLettered) and recorded.event.again:
            return  # sent again for want of a commitment: its job has had its line
        with self.lock:
            standing = self.account.job(job.job_id)
        if standing is not None and standing.state.is_end:
            log_job(job, standing.state, recorded.at, reason=standing.reason)


class KnowsConfiguration(Protocol):
    """Knows the configuration that is in force."""

    loaded: Loaded


class Outboxes(Protocol):
    """Knows the outbox of each destination that is configured now."""

    sends: Mapping[str, Send]


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a running service that a console reads."""

    renewal: KnowsConfiguration
    root: Path
    control: Control
    ledger: SqliteLedger
    queue: Queue
    reserve: Reserve
    models: tuple[str, ...]
    clock: Clock
    operations: Operations
    served: tuple[LoadedPackage, ...]
    deliveries: Outboxes
    prover: Prover

    @property
    def loaded(self) -> Loaded:
        """The configuration that is in force now."""
        return self.renewal.loaded

    @property
    def sends(self) -> Mapping[str, Send]:
        """The outbox of each destination that is configured now."""
        return self.deliveries.sends


class Opened(Protocol):
    """A console that serves; ``entrance`` is the path that lets a person in, once, or ""."""

    port: int
    entrance: str

    def close(self) -> None:
        """Stop serving."""
        ...


OpenConsole = Callable[[Running], Opened]
"""How ``cli`` gives the console to the layer below it."""
