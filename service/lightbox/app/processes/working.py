"""The ``work`` process: the queue's only executor, one warm network a model; never the socket.

Where its device is lost it ends at once, for the supervisor to start another one: what it was at
goes on there.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from lightbox.app import build
from lightbox.app.analysis import Analysis, Chances
from lightbox.app.catalogue import methods
from lightbox.app.clock import SystemClock
from lightbox.app.doorbell import ring
from lightbox.app.layout import Layout, layout
from lightbox.app.processes.notices import Notices
from lightbox.app.processes.process import DEVICE_LOST, Process
from lightbox.app.processes.roles import mark
from lightbox.app.questions.breakers import Breakers
from lightbox.app.questions.intact import check_intact
from lightbox.app.questions.off_peak import OffPeak
from lightbox.app.reload.accepted import Watch
from lightbox.app.reload.renewal import FollowUp
from lightbox.app.turns import Brake, until_stopped
from lightbox.domain.background import Background
from lightbox.domain.breaker import FAILURES
from lightbox.domain.errors import DeviceLostError, UnsoundError
from lightbox.domain.jobs import JobPath
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.urgency import Urgency
from lightbox.explain.attribute import Attribute
from lightbox.explain.known.audits import KnownAudits
from lightbox.infer.confidence import Repeats, probabilities
from lightbox.infer.decode import DecodePool
from lightbox.infer.pace import BOUND, Paces
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.predict import Predict
from lightbox.infer.runtimes.eased import EasedRuntime, Engine
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.infer.sharing import Passes
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ports import Clock, Handler, Step
from lightbox.results import write
from lightbox.results.header.header_bytes import header_of
from lightbox.schedule.gate import Gate, Waited
from lightbox.schedule.queues.dbos_queue import DbosQueue
from lightbox.schedule.queues.upkeep import Upkeep
from lightbox.schedule.worker import Worker
from lightbox.settings import Settings
from lightbox.settings import Worker as WorkerSettings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage
from lightbox.storage.naming import RESULTS

_DRAIN = 6.0
_LOOK_AT_SWITCH = 0.25
_TELL_EVERY = 1.0
_AFTER_RECEIVING = 10
"""Niceness: with two cores an audit would else take a quarter to a half of what can be received."""

_log = logging.getLogger(__name__)


def work(settings: Settings) -> None:
    """Run jobs until told to stop; what is unfinished then goes on at the next start."""
    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "work")
    ledger = SqliteLedger(at.ledger, "work", clock)
    notices = Notices(at.root, FolderStorage(at.root, Files()), clock)
    tell = partial(_tell, at)
    with _replaced_where_lost(notices):
        place = _warm(settings, at, notices, clock)
    off_peak = OffPeak(settings.audit.window, clock)
    brake = Brake(ledger, at.root, clock, partial(notices.say, "deferred"), off_peak)
    gate = Gate(settings.audit.min_share, clock, partial(_tell_wait, tell), _Use(tell, clock).add)
    decode = DecodePool(2, settings.dicom.limits, differ=partial(notices.say, "decoders"))
    known = KnownAudits(FolderStorage(at.values, Files()), at.values, clock)
    attribute = Attribute(methods(), settings.audit, clock, place.backgrounds)
    at.values.mkdir(exist_ok=True, mode=0o700)
    writing = write.Write(
        build.writers(settings.results, build.asked_for(settings)),
        _tidied(at),
        negative=settings.results.negative,
    )
    analysis = Analysis(
        ledger=ledger,
        turn=until_stopped(gate.turn, process.stopping),
        chances=Chances(brake.check, brake.defer, place.breakers.asking),
        predict=Predict(
            {
                digest: Passes(
                    runtime, clock, partial(_tell_pass, tell, place.packages[digest].name)
                )
                for digest, runtime in place.runtimes.items()
            },
            place.packages,
            decode,
            at.root,
            clock,
            settings.worker.max_batch,
        ),
        attribute=attribute,
        write=writing,
        packages=place.packages,
        runtimes=place.runtimes,
        intact=partial(check_intact, at.root),
        headers=lambda path: header_of(at.root / path),
        values=at.values,
        known=known,
        chunks=place.chunks,
        destinations=tuple(each.name for each in settings.destinations),
        notes=settings.results.refused == "note",
        woke=lambda: ring(at.root, "control"),
    )
    worker = Worker(ledger, analysis.run, clock, brake.hold)
    queue = DbosQueue(at.queue, "work-0", at.root, worker.give_up)
    mark(ledger, "work", "started", clock)
    queue.serve(_until_lost(worker.handle, notices))
    process.ready(models=",".join(place.served.by_name), device=place.device)

    def take(new: Settings) -> None:
        gate.configure(new.audit.min_share)
        off_peak.configure(new.audit.window)
        decode.configure(new.dicom.limits)
        attribute.configure(new.audit)
        analysis.configure(tuple(each.name for each in new.destinations))
        writing.configure(build.writers(new.results, build.asked_for(new)))

    watch = Watch(at.root, FollowUp("work", settings, ledger, take).follow)
    upkeep = Upkeep(queue.forget, clock)
    while not process.stopping.wait(_LOOK_AT_SWITCH):
        queue.release(brake.stops)
        watch.look()
        known.tidy(settings.storage.retention)
        upkeep.look(settings.storage.retention)
    queue.close(_DRAIN)
    decode.close()
    mark(ledger, "work", "stopped", clock)
    ledger.close()


def _tidied(at: Layout) -> FolderStorage:
    """Return where results go, without what a killed worker had not given its name yet."""
    storage = FolderStorage(at.root, Files())
    storage.tidy(RESULTS)
    return storage


def _tell(at: Layout, **said: object) -> None:
    """Tell control what is counted but not recorded."""
    ring(at.root, "control", json.dumps(said).encode())


def _tell_wait(tell: Callable[..., None], waited: Waited) -> None:
    if waited.behind_audit is not None:
        tell(behind_audit=waited.behind_audit, urgency=waited.urgency)


def _tell_pass(tell: Callable[..., None], model: str, images: int) -> None:
    tell(batch=images, model=model)


class _Use:
    """Adds up how long each path had the device, and tells it about once a second.

    More often would wake control, and cost audits with short chunks a part of the processor.
    """

    def __init__(self, tell: Callable[..., None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._told_at = clock.monotonic()
        self._held: dict[JobPath, float] = {}

    def add(self, urgency: Urgency, seconds: float) -> None:
        """Take in one turn."""
        path = JobPath.AUDIT if urgency is Urgency.AUDIT else JobPath.FAST
        with self._lock:
            self._held[path] = self._held.get(path, 0.0) + seconds
            if self._clock.monotonic() - self._told_at < _TELL_EVERY:
                return
            held, self._held = self._held, {}
            self._told_at = self._clock.monotonic()
        for each, total in held.items():
            self._tell(held=total, path=each)


@dataclass(frozen=True, slots=True)
class _Place:
    """The networks, opened and warm.

    Attributes
    ----------
    opened : mapping of str to LoadedPackage
        By the digest of their weights, as jobs name them: what is served, and what it replaced.
    runtimes, chunks : mapping
        By the same digest.
    """

    served: build.Packages
    opened: Mapping[str, LoadedPackage]
    runtimes: Mapping[str, EasedRuntime]
    chunks: Mapping[str, int]
    breakers: Breakers

    @property
    def packages(self) -> Mapping[str, ModelPackage]:
        """Their manifests."""
        return {digest: each.package for digest, each in self.opened.items()}

    @property
    def backgrounds(self) -> Mapping[str, Background]:
        """Background images of those that have some."""
        found = {digest: each.background for digest, each in self.opened.items()}
        return {digest: images for digest, images in found.items() if images is not None}

    @property
    def device(self) -> str:
        """What the first of them runs on."""
        return next(iter(self.runtimes.values())).device


def _warm(settings: Settings, at: Layout, notices: Notices, clock: SystemClock) -> _Place:
    """Open every network, see that it gives sound answers, and measure what an audit may take."""
    os.nice(_AFTER_RECEIVING)  # before any thread that computes, and any child, is there
    write.warm()
    served, given = build.packages(settings), settings.worker
    breakers = Breakers(clock, partial(notices.say, "out_of_service"))
    paces = Paces(FolderStorage(at.root, Files()), clock)
    runtimes: dict[str, EasedRuntime] = {}
    chunks: dict[str, int] = {}
    opened = {each.package.sha256: each for each in (*served.replaced, *served.loaded)}
    for digest, loaded in opened.items():
        name = loaded.package.name
        runtime = runtimes[digest] = EasedRuntime(
            partial(_opened, loaded, given), clock, partial(notices.say, "eased", name)
        )
        runtime.warm()
        try:
            _ask_it(loaded, runtime)
        except UnsoundError as error:
            breakers.unsound(name, error.reason, FAILURES)
        bound = settings.audit.bound or BOUND[runtime.device]
        pace = paces.of(runtime, loaded.package.sha256, bound)
        chunk = settings.audit.chunk
        chunks[digest] = pace.chunk if chunk == "auto" else chunk
        notices.say("devices", name, f"{runtime.device}. {runtime.note}".rstrip(". "))
        notices.say("bounds", name, bound)
        _log.info(
            "model %s: %s of layer %s, %s",
            name,
            loaded.package.explanation.method,
            runtime.target_layer,
            runtime.way,
        )
        if chunk == "auto" and not pace.holds:
            words = f"{pace.chunk} evaluations take {pace.seconds:.2f} s, urgent images may wait"
            mend = f"lower worker.max_batch to {pace.batch_that_holds}, or raise audit.bound"
            notices.say("slow", name, f"{words} {bound:g} s for an audit: {mend}")
    return _Place(served, opened, runtimes, chunks, breakers)


def _opened(loaded: LoadedPackage, given: WorkerSettings, device: str) -> Engine:
    return OnnxRuntime(loaded, device or given.device, given.threads, given.max_batch)


def _ask_it(loaded: LoadedPackage, runtime: EasedRuntime) -> None:
    """Ask for two different images: whoever gives them one answer has no weights.

    Raises
    ------
    UnsoundError
        If an answer cannot be one.
    """
    import numpy as np

    images = np.random.default_rng(0).random((2, *runtime.image_shape)).astype(np.float32)
    logits = runtime.predict(images).logits
    probabilities(loaded.package, logits)
    Repeats(loaded.package).check(images, logits)


def _until_lost(handle: Handler, notices: Notices) -> Handler:
    """Let the process end where a job finds its device lost."""

    def handled(job_id: str, step: Step) -> None:
        with _replaced_where_lost(notices):
            handle(job_id, step)

    return handled


@contextmanager
def _replaced_where_lost(notices: Notices) -> Iterator[None]:
    try:
        yield
    except DeviceLostError as lost:
        notices.lost(str(lost))
        # At once: what is left of the device's context can only hang. The ledger is on disk.
        os._exit(DEVICE_LOST)
