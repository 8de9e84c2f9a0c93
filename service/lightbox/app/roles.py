"""The processes of ``lightbox serve``, each built on one page.

receive   listener, files, its own chain of the ledger          never: networks, models, results
control   studies, placing, delivery, console, metrics          never: pixel data
work      the queue's only executor, one warm session a model   never: the socket
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
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
    from collections.abc import Mapping

    from lightbox.app.build import Packages
    from lightbox.app.commitments import Commitments
    from lightbox.app.control import Control, OpenConsole
    from lightbox.app.road import Road
    from lightbox.app.self_proof import SelfProof
    from lightbox.app.switch import Switch
    from lightbox.deliver.outbox import Parcel
    from lightbox.deliver.send import Send
    from lightbox.domain.account import Account
    from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
    from lightbox.metrics import Metrics
    from lightbox.schedule.place import Place
    from lightbox.settings import Worker as WorkerSettings

_DRAIN_LISTENER = 8.0
_DRAIN_DELIVERY = 4.0
_DRAIN_WORK = 6.0
_LOOK_AT_SWITCH = 0.25


def _mark(
    ledger: SqliteLedger, role: str, what: Literal["started", "stopped"], clock: SystemClock
) -> None:
    """Record a start or stop; the heads of all chains in it anchor them in this one."""
    ledger.record(ServiceMarked(role, what, __version__, clock.now(), dict(ledger.heads())))


def receive(settings: Settings) -> None:
    """Run the listener until told to stop."""
    from lightbox.app.commitments import judge_here
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
    judged = judge_here(settings, at.root, ledger)
    listener = Listener(settings.dicom, store, ledger, clock, observe, judged)
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
    from lightbox.app.operations import Operations
    from lightbox.app.switch import Switch, SwitchedQueue
    from lightbox.schedule.place import Place
    from lightbox.schedule.queues.dbos_queue import DbosQueueClient
    from lightbox.storage.files import Files
    from lightbox.storage.reserve import Reserve

    settings = loaded.settings
    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "control")
    ledger = SqliteLedger(at.ledger, "control", clock)
    served = build.packages(settings)
    reserve = Reserve(at.root, settings.storage.reserve)
    account = _account(settings)
    switch = Switch(at.root, Files())
    sends = _sends(settings, ledger, account, switch, clock)
    commitments = _commitments(settings, ledger, sends, clock)
    queue = SwitchedQueue(DbosQueueClient(at.queue), switch, account.unplaced_jobs)
    place = Place(ledger, queue, build.deadlines(settings), served.by_name, clock)
    control = Control(
        settings=settings,
        root=at.root,
        ledger=ledger,
        queue=queue,
        account=account,
        metrics=_metrics(settings, served),
        road=_road(
            settings, ledger, place, sends, served, clock, commitments=commitments, account=account
        ),
        sends=sends,
        free_bytes=reserve.free_bytes,
        clock=clock,
    )
    operations = Operations(
        root=at.root,
        ledger=ledger,
        account=account,
        lock=control.lock,
        place=place,
        queue=queue,
        destinations={each.name: (each, sends[each.name]) for each in settings.destinations},
        switch=switch,
        clock=clock,
    )
    _mark(ledger, "control", "started", clock)
    remembered = settings.studies.force_after + settings.studies.quiet_period
    control.resume(remembered)
    for send in sends.values():
        send.start()
    commitments.start()
    shown = (control, ledger, queue, reserve, tuple(served.by_name), clock, operations)
    web = open_console(Running(loaded, at.root, *shown, served.loaded, sends))
    process.ready(web=f"http://{settings.web.host}:{web.port}{web.entrance}")
    proofs = _self_proof(loaded, control, clock)
    control.run(process.stopping, operations.look, proofs.look)
    proofs.close()
    web.close()
    commitments.close(_DRAIN_DELIVERY)
    for send in sends.values():
        send.close(_DRAIN_DELIVERY)
    control.save(remembered)
    _mark(ledger, "control", "stopped", clock)
    ledger.close()


def _account(settings: Settings) -> Account:
    """Return an empty account that knows who gets results, and who is asked to commit."""
    from lightbox.app import build
    from lightbox.app.commitments import asks
    from lightbox.domain.account import Account

    return Account(
        (each.name for each in settings.destinations),
        deadlines=build.deadlines(settings),
        commits=(each.name for each in settings.destinations if asks(each)),
    )


def _self_proof(loaded: Loaded, control: Control, clock: SystemClock) -> SelfProof:
    """Return the daily proof of the ledger, which the metrics show."""
    from lightbox.app.self_proof import SelfProof

    arguments = ("-c", loaded.file) if loaded.file else ()
    every = loaded.settings.ledger.prove_every
    return SelfProof(arguments, every, control.metrics.tell_proof, clock)


def _commitments(
    settings: Settings, ledger: SqliteLedger, sends: Mapping[str, Send], clock: SystemClock
) -> Commitments:
    """Return storage commitment, both ways."""
    from lightbox.app.commitments import Commitments

    root = layout(settings).root
    return Commitments(settings, root, ledger, sends, clock, partial(ring, root, "control"))


def _metrics(settings: Settings, served: Packages) -> Metrics:
    """Return the only registry of the service, which knows its models and destinations."""
    from lightbox.metrics import Metrics

    destinations = [each.name for each in settings.destinations]
    metrics = Metrics(None, __version__, destinations, settings.dicom.accept_calling)
    for package in served.by_name.values():
        metrics.know_model(package.name, package.version, package.sha256)
    return metrics


def _road(
    settings: Settings,
    ledger: SqliteLedger,
    place: Place,
    sends: Mapping[str, Send],
    served: Packages,
    clock: SystemClock,
    *,
    commitments: Commitments,
    account: Account,
) -> Road:
    """Return the road, with the rules and models of this configuration."""
    from lightbox.app import build
    from lightbox.app.road import Road
    from lightbox.receive.header import describe
    from lightbox.results.provenance import OWN_DEVICE_UID
    from lightbox.studies.assemble import Assemble

    root = layout(settings).root
    packages = tuple(served.by_name.values())
    return Road(
        ledger=ledger,
        describe=lambda path: describe(
            root / path, build.rule_keywords(settings), settings.dicom.limits.nesting
        ),
        assemble=Assemble(settings.studies, build.rules(settings), packages, OWN_DEVICE_UID, clock),
        place=place,
        sends=sends,
        wants=build.Routing(settings).wants,
        packages=served.by_name,
        audits=build.audit_policy(settings),
        commitments=commitments,
        unfinished=lambda study: tuple(account.of(study).unplaced_jobs()),
    )


def _sends(
    settings: Settings, ledger: SqliteLedger, account: Account, switch: Switch, clock: SystemClock
) -> dict[str, Send]:
    """Return the outbox of each destination; what a person stopped is held in it."""
    from lightbox.app import build
    from lightbox.deliver.send import Send
    from lightbox.domain.operations import ALL

    root = layout(settings).root

    def is_held(parcel: Parcel) -> bool:
        job = account.placed_job(parcel.job_id)
        return switch.stops(job.model if job else ALL)

    return {
        each.name: Send(
            build.destination(each, settings, root),
            ledger,
            each,
            clock,
            lambda _: ring(root, "control"),
            is_held,
        )
        for each in settings.destinations
    }


def work(settings: Settings) -> None:
    """Run jobs until told to stop; what is unfinished then goes on at the next start."""
    from lightbox.app import build
    from lightbox.app.analysis import Analysis
    from lightbox.app.catalogue import methods
    from lightbox.app.turns import Brake, until_stopped
    from lightbox.explain.attribute import Attribute
    from lightbox.infer.decode import DecodePool
    from lightbox.infer.predict import Predict
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
    runtimes = _warm(served, given)
    write.warm()

    def observe(urgency: Urgency, waited: float) -> None:
        ring(at.root, "control", json.dumps({"waited": waited, "urgency": urgency}).encode())

    brake = Brake(ledger, at.root)
    gate = Gate(settings.audit.min_share, clock, observe)
    at.values.mkdir(exist_ok=True, mode=0o700)
    analysis = Analysis(
        ledger=ledger,
        turn=until_stopped(gate.turn, process.stopping),
        may_go_on=brake.check,
        predict=Predict(runtimes, served.by_name, decode, at.root, clock, given.max_batch),
        attribute=Attribute(methods(), settings.audit, clock),
        write=write.Write(
            build.writers(settings.results, rejects=build.rejects(settings)),
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
    worker = Worker(ledger, analysis.run, clock, brake.hold)
    queue = DbosQueue(at.queue, "work-0", at.root, worker.give_up)
    _mark(ledger, "work", "started", clock)
    queue.serve(worker.handle)
    process.ready(models=",".join(runtimes), device=next(iter(runtimes.values())).device)
    while not process.stopping.wait(_LOOK_AT_SWITCH):
        queue.release(brake.stops)
    queue.close(_DRAIN_WORK)
    decode.close()
    _mark(ledger, "work", "stopped", clock)
    ledger.close()


def _warm(served: Packages, given: WorkerSettings) -> dict[str, OnnxRuntime]:
    """Return one warm session per model."""
    from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime

    runtimes = {
        each.package.name: OnnxRuntime(each, given.device, given.threads, given.max_batch)
        for each in served.loaded
    }
    for runtime in runtimes.values():
        runtime.warm()
    return runtimes


def _chunk(settings: Settings) -> int:
    """Return the evaluations between two pauses of an audit: one batch for "auto"."""
    chunk = settings.audit.chunk
    return settings.worker.max_batch if chunk == "auto" else chunk
