"""The processes of ``lightbox serve``, each built on one page.

receive   listener, files, its own chain of the ledger          never: networks, models, results
control   studies, placing, delivery, console, metrics          never: pixel data
work      the queue's only executor, one warm session a model   never: the socket
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from lightbox.app.clock import SystemClock
from lightbox.app.doorbell import ring
from lightbox.app.layout import layout
from lightbox.app.process import Process
from lightbox.domain.events import ServiceMarked
from lightbox.domain.urgency import Urgency
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.settings import Loaded, Settings
from lightbox.version import __version__

if TYPE_CHECKING:
    from lightbox.app.control import OpenConsole

_DRAIN_LISTENER = 8.0
_DRAIN_DELIVERY = 4.0
_DRAIN_WORK = 6.0


def _mark(
    ledger: SqliteLedger, role: str, what: Literal["started", "stopped"], clock: SystemClock
) -> None:
    """Record a start or stop; the heads of all chains in it anchor them in this one."""
    ledger.record(ServiceMarked(role, what, __version__, clock.now(), dict(ledger.heads())))


def receive(settings: Settings) -> None:
    """Run the listener until told to stop."""
    from lightbox.receive.listener import Listener
    from lightbox.receive.observation import Observation
    from lightbox.receive.store import Store
    from lightbox.storage.files import Files
    from lightbox.storage.reserve import Reserve

    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "receive")
    ledger = SqliteLedger(at.ledger, "receive", clock)

    def observe(seen: Observation) -> None:
        ring(at.root, "control", json.dumps(asdict(seen)).encode())

    store = Store(at.root, Files(), ledger, clock, Reserve(at.root, settings.storage.reserve))
    listener = Listener(settings.dicom, store, ledger, clock, observe)
    _mark(ledger, "receive", "started", clock)
    listener.start()
    process.ready(dicom=f"{settings.dicom.ae_title}@{settings.dicom.host}:{listener.port}")
    process.stopping.wait()
    listener.drain(_DRAIN_LISTENER)
    store.close()
    _mark(ledger, "receive", "stopped", clock)
    ledger.close()


def control(loaded: Loaded, open_console: OpenConsole) -> None:
    """Lead studies along the road until told to stop."""
    from lightbox.app import build
    from lightbox.app.control import Control, Running
    from lightbox.app.road import Road
    from lightbox.deliver.send import Send
    from lightbox.domain.account import Account
    from lightbox.metrics import Metrics
    from lightbox.receive.header import describe
    from lightbox.results.provenance import OWN_DEVICE_UID
    from lightbox.schedule.place import Place
    from lightbox.schedule.queues.dbos_queue import DbosQueueClient
    from lightbox.storage.reserve import Reserve
    from lightbox.studies.assemble import Assemble

    settings = loaded.settings
    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "control")
    ledger = SqliteLedger(at.ledger, "control", clock)
    served = build.packages(settings)
    queue = DbosQueueClient(at.queue)
    routing = build.Routing(settings)
    reserve = Reserve(at.root, settings.storage.reserve)
    metrics = Metrics(
        None,
        __version__,
        [each.name for each in settings.destinations],
        settings.dicom.accept_calling,
    )
    for package in served.by_name.values():
        metrics.know_model(package.name, package.version, package.sha256)
    sends = {
        each.name: Send(
            build.destination(each, settings, at.root),
            ledger,
            each,
            clock,
            lambda _: ring(at.root, "control"),
        )
        for each in settings.destinations
    }
    road = Road(
        ledger=ledger,
        describe=lambda path: describe(
            at.root / path, build.rule_keywords(settings), settings.dicom.limits.nesting
        ),
        assemble=Assemble(
            settings.studies,
            build.rules(settings),
            tuple(served.by_name.values()),
            OWN_DEVICE_UID,
            clock,
        ),
        place=Place(ledger, queue, build.deadlines(settings), served.by_name, clock),
        sends=sends,
        wants=routing.wants,
        packages=served.by_name,
        audits=build.audit_policy(settings),
    )
    control = Control(
        settings=settings,
        root=at.root,
        ledger=ledger,
        queue=queue,
        account=Account(
            (each.name for each in settings.destinations),
            deadlines=build.deadlines(settings),
        ),
        metrics=metrics,
        road=road,
        sends=sends,
        free_bytes=reserve.free_bytes,
        clock=clock,
    )
    _mark(ledger, "control", "started", clock)
    remembered = settings.studies.force_after + settings.studies.quiet_period
    control.resume(remembered)
    for send in sends.values():
        send.start()
    web = open_console(
        Running(loaded, at.root, control, ledger, queue, reserve, tuple(served.by_name), clock)
    )
    process.ready(web=f"http://{settings.web.host}:{web.port}")
    control.run(process.stopping)
    web.close()
    for send in sends.values():
        send.close(_DRAIN_DELIVERY)
    control.save(remembered)
    _mark(ledger, "control", "stopped", clock)
    ledger.close()


def work(settings: Settings) -> None:
    """Run jobs until told to stop; what is unfinished then goes on at the next start."""
    from lightbox.app import build
    from lightbox.app.analysis import Analysis
    from lightbox.app.catalogue import methods
    from lightbox.app.turns import until_stopped
    from lightbox.explain.attribute import Attribute
    from lightbox.infer.decode import DecodePool
    from lightbox.infer.predict import Predict
    from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
    from lightbox.results import write
    from lightbox.results.header.header_bytes import header_of
    from lightbox.schedule.gate import Gate
    from lightbox.schedule.queues.dbos_queue import DbosQueue
    from lightbox.schedule.worker import Worker
    from lightbox.storage.files import Files
    from lightbox.storage.folder import FolderStorage

    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "work")
    ledger = SqliteLedger(at.ledger, "work", clock)
    served = build.packages(settings)
    decode = DecodePool(2, settings.dicom.limits)
    given = settings.worker
    runtimes = {
        each.package.name: OnnxRuntime(each, given.device, given.threads, given.max_batch)
        for each in served.loaded
    }
    for runtime in runtimes.values():
        runtime.warm()
    write.warm()

    def observe(urgency: Urgency, waited: float) -> None:
        ring(at.root, "control", json.dumps({"waited": waited, "urgency": urgency}).encode())

    gate = Gate(settings.audit.min_share, clock, observe)
    at.values.mkdir(exist_ok=True, mode=0o700)
    analysis = Analysis(
        ledger=ledger,
        turn=until_stopped(gate.turn, process.stopping),
        predict=Predict(runtimes, served.by_name, decode, at.root, clock, given.max_batch),
        attribute=Attribute(methods(), settings.audit, clock),
        write=write.Write(
            build.writers(settings.results),
            FolderStorage(at.root, Files()),
            negative=settings.results.negative,
        ),
        packages=served.by_name,
        runtimes=runtimes,
        headers=lambda path: header_of(at.root / path),
        values=at.values,
        chunk=_chunk(settings),
        destinations=tuple(each.name for each in settings.destinations),
        woke=lambda: ring(at.root, "control"),
    )
    worker = Worker(ledger, analysis.run, clock)
    queue = DbosQueue(at.queue, "work-0", at.root, worker.give_up)
    _mark(ledger, "work", "started", clock)
    queue.serve(worker.handle)
    process.ready(models=",".join(runtimes), device=next(iter(runtimes.values())).device)
    process.stopping.wait()
    queue.close(_DRAIN_WORK)
    decode.close()
    _mark(ledger, "work", "stopped", clock)
    ledger.close()


def _chunk(settings: Settings) -> int:
    """Return the evaluations between two pauses of an audit: one batch for "auto"."""
    chunk = settings.audit.chunk
    return settings.worker.max_batch if chunk == "auto" else chunk
