"""The ``control`` process: studies, placing, delivery, console, metrics; never pixel data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lightbox.app import build
from lightbox.app.build import Packages
from lightbox.app.changes.changes import Changes
from lightbox.app.changes.patients import Patients
from lightbox.app.changes.rejections import Rejections
from lightbox.app.clock import SystemClock
from lightbox.app.commitments import Commitments, asks
from lightbox.app.doorbell import ring
from lightbox.app.layout import layout
from lightbox.app.operate.erasure import Erasure
from lightbox.app.operate.operations import Operations
from lightbox.app.operate.replacement import Replacement
from lightbox.app.operate.retention import Retention
from lightbox.app.operate.switch import Switch, SwitchedQueue
from lightbox.app.processes.control import Control, OpenConsole, Running
from lightbox.app.processes.in_control import InControl, describing, kept_at_least
from lightbox.app.processes.process import Process
from lightbox.app.processes.prover import Prover
from lightbox.app.processes.roles import mark
from lightbox.app.processes.self_proof import SelfProof
from lightbox.app.questions.foresight import Foresight
from lightbox.app.questions.off_peak import OffPeak
from lightbox.app.reload.deliveries import Deliveries
from lightbox.app.reload.hangup import Hangups
from lightbox.app.reload.renewal import Renewal
from lightbox.app.road import Road
from lightbox.app.webhooks import Webhooks
from lightbox.deliver.outbox import Parcel
from lightbox.deliver.send import Send
from lightbox.deliver.webhooks.call import Call
from lightbox.domain.account import Account
from lightbox.domain.operations import ALL
from lightbox.domain.urgency import Urgency
from lightbox.infer.signatures.signed import signature_check
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import in_time_order
from lightbox.logs import hashed, key_of
from lightbox.metrics import Metrics
from lightbox.ports import Queue
from lightbox.results.provenance import OWN_DEVICE_UID
from lightbox.schedule.place import Place
from lightbox.schedule.queues.dbos_queue import DbosQueueClient
from lightbox.settings import DestinationSettings, Loaded, Settings, WebhookSettings
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve
from lightbox.studies.assemble import Assemble
from lightbox.studies.rejection_note import read_rejection_note
from lightbox.version import __version__

_DRAIN_DELIVERY = 4.0
_DRAIN_WEBHOOKS = 0.5


def control(loaded: Loaded, open_console: OpenConsole) -> None:
    """Lead studies along the road until told to stop."""
    settings = loaded.settings
    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "control")
    ledger = SqliteLedger(at.ledger, "control", clock)
    served = build.packages(settings)
    reserve = Reserve(at.root, settings.storage.reserve)
    account = _account(settings)
    switch = Switch(at.root, Files())
    deliveries = _deliveries(settings, ledger, account, switch, clock)
    sends = deliveries.sends
    commitments = _commitments(settings, ledger, sends, clock)
    off_peak = OffPeak(settings.audit.window, clock)
    queue = SwitchedQueue(DbosQueueClient(at.queue), switch, account.unplaced_jobs, off_peak)
    place = Place(ledger, queue, build.deadlines(settings), served.by_name, clock)
    assemble = _assemble(settings, served, clock)
    road = _road(
        settings, ledger, place, sends, served, assemble,
        commitments=commitments, account=account, queue=queue,
    )  # fmt: skip
    control = Control(
        settings=settings,
        root=at.root,
        ledger=ledger,
        queue=queue,
        account=account,
        metrics=_metrics(settings, served),
        road=road,
        free_bytes=reserve.free_bytes,
        clock=clock,
        arrived_within=settings.studies.force_after + settings.studies.quiet_period,
    )
    operations = Operations(
        root=at.root,
        ledger=ledger,
        account=account,
        read_model=control.read_model,
        lock=control.lock,
        place=place,
        queue=queue,
        destinations={each.name: (each, sends[each.name]) for each in settings.destinations},
        switch=switch,
        clock=clock,
        off_peak=off_peak,
        replacement=Replacement(
            *(at.root, ledger, served.by_name.values(), account.unplaced_jobs),
            signature_check(settings.models),
        ),
    )
    retention = _retention(settings, ledger, control, operations, queue, clock)
    mark(ledger, "control", "started", clock)
    webhooks = _webhooks(settings, ledger, control, clock)
    webhooks.resume(control.resume())
    deliveries.start()
    commitments.start()
    parts = InControl(
        at.root, account, assemble, place, road, deliveries, commitments, control, operations,
        reserve, off_peak, retention, lambda: in_time_order(r for s in account.held() for r in ledger.timeline(s)),
    )  # fmt: skip
    foresight = _foresight(ledger, parts, clock)
    renewal = Renewal(at.root, loaded, ledger, parts.take, clock)
    operations.reload_with(renewal.reload)
    prover = Prover(
        at.ledger, lambda: [e.name for e in renewal.loaded.settings.destinations], clock
    )
    web = open_console(
        Running(
            renewal, at.root, control, ledger, queue, reserve, tuple(served.by_name), clock,
            operations, served.loaded, deliveries, prover,
        )
    )  # fmt: skip
    process.ready(web=f"http://{settings.web.host}:{web.port}{web.entrance}")
    every = settings.ledger.prove_every
    control.run(
        process.stopping,
        operations.look,
        foresight.look,
        SelfProof(prover, every, control.metrics.tell_proof, clock).look,
        retention.look,
        Hangups(operations, clock).look,
        webhooks.look,
    )
    web.close()
    for each in (commitments, deliveries):
        each.close(_DRAIN_DELIVERY)
    webhooks.close(_DRAIN_WEBHOOKS)
    control.close()
    mark(ledger, "control", "stopped", clock)
    ledger.close()


def _account(settings: Settings) -> Account:
    """Return an empty account that knows who gets results, and who is asked to commit."""
    return Account(
        (each.name for each in settings.destinations),
        deadlines=build.deadlines(settings),
        commits=(each.name for each in settings.destinations if asks(each)),
    )


def _webhooks(
    settings: Settings, ledger: SqliteLedger, control: Control, clock: SystemClock
) -> Webhooks:
    """Return who is told what happens, outside of DICOM."""
    root = layout(settings).root
    key = key_of(root)

    def call(given: WebhookSettings) -> Call:
        return Call(given, ledger, clock, partial(hashed, key=key), lambda _: ring(root, "control"))

    calls = {each.name: call(each) for each in settings.webhooks}
    webhooks = Webhooks(
        calls=calls, ledger=ledger, account=control.account, lock=control.lock, clock=clock
    )
    control.watchers.append(webhooks.follow)
    return webhooks


def _retention(
    settings: Settings,
    ledger: SqliteLedger,
    control: Control,
    operations: Operations,
    queue: Queue,
    clock: SystemClock,
) -> Retention:
    """Return what removes the files of studies: by age, and when a person wants it."""
    at = layout(settings)
    retention = Retention(
        root=at.root,
        values=at.values,
        ledger=ledger,
        records=control.read_model,
        files=Files(),
        alone=operations.one_at_a_time,
        clock=clock,
        keep=settings.storage.retention,
        at_least=kept_at_least(settings),
    )
    retention.resume()
    operations.erase_with(Erasure(ledger, control.read_model, queue, retention).erase)
    return retention


def _foresight(ledger: SqliteLedger, parts: InControl, clock: SystemClock) -> Foresight:
    """Return what says which deadlines will be missed, from what the ledger says."""
    gauge = parts.control.metrics.deadlines_at_risk

    def tell(counts: Mapping[Urgency, int]) -> None:
        for urgency, count in counts.items():
            gauge.labels(urgency).set(count)

    foresight = Foresight(ledger, tell, clock)
    foresight.follow(parts.history())
    parts.control.watchers.append(foresight.follow)
    return foresight


def _commitments(
    settings: Settings, ledger: SqliteLedger, sends: Mapping[str, Send], clock: SystemClock
) -> Commitments:
    """Return storage commitment, both ways."""
    root = layout(settings).root
    return Commitments(settings, root, ledger, sends, clock, partial(ring, root, "control"))


def _metrics(settings: Settings, served: Packages) -> Metrics:
    """Return the only registry of the service, which knows its models and destinations."""
    destinations = [each.name for each in settings.destinations]
    metrics = Metrics(None, __version__, destinations, settings.dicom.accept_calling)
    for package in served.by_name.values():
        metrics.know_model(package.name, package.version, package.sha256)
    for each in settings.webhooks:
        metrics.know_webhook(each.name)
    return metrics


def _road(
    settings: Settings,
    ledger: SqliteLedger,
    place: Place,
    sends: Mapping[str, Send],
    served: Packages,
    assemble: Assemble,
    *,
    commitments: Commitments,
    account: Account,
    queue: Queue,
) -> Road:
    """Return the road, with the rules and models of this configuration."""
    root = layout(settings).root
    rejections = Rejections(
        ledger, queue, account.of, lambda path: read_rejection_note(root / path)
    )
    return Road(
        ledger=ledger,
        describe=describing(settings, root),
        assemble=assemble,
        place=place,
        sends=sends,
        wants=build.Routing(settings).wants,
        packages=served.by_name,
        audits=build.audit_policy(settings),
        commitments=commitments,
        unfinished=lambda study: tuple(account.of(study).unplaced_jobs()),
        changes=Changes(rejections, Patients(ledger), assemble),
    )


def _assemble(settings: Settings, served: Packages, clock: SystemClock) -> Assemble:
    """Return what collects instances into units, with the rules of this configuration."""
    packages = tuple(served.by_name.values())
    return Assemble(settings.studies, build.rules(settings), packages, OWN_DEVICE_UID, clock)


def _deliveries(
    settings: Settings, ledger: SqliteLedger, account: Account, switch: Switch, clock: SystemClock
) -> Deliveries:
    """Return the outbox of each destination; what a person stopped is held in it."""
    root = layout(settings).root

    def is_held(parcel: Parcel) -> bool:
        job = account.placed_job(parcel.job_id)
        return switch.stops(job.model if job else ALL)

    def outbox(given: DestinationSettings) -> Send:
        to = build.destination(given, settings, root)
        return Send(to, ledger, given, clock, lambda _: ring(root, "control"), is_held)

    return Deliveries(settings.destinations, outbox, ledger)
