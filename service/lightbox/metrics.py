"""All metrics, one statement each, and how the ledger's events move them.

The control process holds the only registry and feeds it with what the ledger recorded, so no
other process knows of Prometheus. Deadlines (2, 3, 10 and 300 s) are bucket edges: how many jobs
met theirs can be read exactly. Labels are bounded; no UID, no name, no path is one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.utils import floatToGoString

from lightbox.domain.condition import Condition
from lightbox.domain.events import (
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    InstanceStored,
    JobFailed,
    JobMoved,
    JobPlaced,
    JobStarted,
    NotTaken,
    Predicted,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.jobs import Job, JobPath, moved
from lightbox.domain.levels import Levels
from lightbox.domain.result import ListedReason, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.domain.webhooks import NotificationEvent
from lightbox.exposition import text_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of :meth:`Metrics.exposition`."""

_STAGES = ("receive", "wait", "decode", "infer", "explain", "encode", "deliver")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 10, 300)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)
_FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)  # of some twenty measures for each model
_AGREEMENT = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # a negative edge would cost the sum
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_MOST_CALLING = 50  # AE titles of strangers must not grow the registry
_OTHER = "other"

_OfJob: TypeAlias = (
    JobStarted | Predicted | Attributed | ResultsWritten | JobFailed
    | Delivered | NotTaken | DeadLettered
)  # fmt: skip


@dataclass(slots=True)
class _Open:
    """A job that is not over yet."""

    job: Job
    attributed_at: float = 0.0
    written_at: float = 0.0
    kinds: dict[str, ResultKind] = field(default_factory=dict)
    awaited: set[tuple[str, str]] = field(default_factory=set)
    judged: bool = False  # its deadline has been counted


class Metrics:
    """The metrics of one service.

    To be observed from one thread at a time; others may ask for the exposition meanwhile.

    Parameters
    ----------
    registry : CollectorRegistry or None
        Where they are registered; None: a registry of their own.
    version : str
        Of the service.
    destinations : collection of str
        Names of those that get results; where there is none, a job is over when its results are
        written.
    calling_aes : collection of str
        Calling AE titles (``AET`` or ``AET@IP``) that always keep a label of their own.
    """

    def __init__(
        self,
        registry: CollectorRegistry | None,
        version: str,
        destinations: Collection[str] = (),
        calling_aes: Collection[str] = (),
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # doubles every series otherwise
        self._registry = registry or CollectorRegistry()
        self._destinations = tuple(destinations)
        self._calling = {name.partition("@")[0] for name in calling_aes}
        self._open: dict[str, _Open] = {}
        self._models: list[str] = []
        self._define(self._registry)
        self.build_info.labels(version).set(1)
        self._begin()

    def _define(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lightbox_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"lightbox_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"lightbox_{name}", text, labels, buckets=buckets, registry=registry)

        self.instances_received = counter(
            "instances_received_total", "C-STORE requests answered.", "calling_ae", "status"
        )
        self.received_bytes = counter("received_bytes_total", "Bytes of instances stored.")
        self.associations_active = gauge("associations_active", "Open incoming associations.")
        self.receive_seconds = histogram("receive_seconds", "Last byte read to durable.", _SHORT)
        self.jobs_waiting = gauge("jobs_waiting", "Jobs placed and not started.", "urgency")
        self.jobs_running = gauge("jobs_running", "Jobs that a worker holds.", "path")
        self.stage_seconds = histogram(
            "stage_seconds", "Time of a job in one stage.", _SECONDS, "stage", "urgency"
        )
        self.turnaround_seconds = histogram(
            "turnaround_seconds", "Last byte received to all stored.", _SECONDS, "path", "urgency"
        )
        self.deadlines = counter(
            "deadlines_total", "Jobs by whether they met their deadline.", "urgency", "outcome"
        )
        self.deadlines_at_risk = gauge("deadlines_at_risk", "Jobs expected to be late.", "urgency")
        self.results = counter(
            "results_total", "Results by what became of them.", "kind", "destination", "outcome"
        )
        self.notifications = counter(
            "notifications_total", "Notifications by what became of them.", "webhook", "outcome"
        )
        self.delivery_retries = counter("delivery_retries_total", "Deliveries put off.")
        self.dead_letters = gauge("dead_letters", "Results given up and not revived.")
        self.preemption_seconds = histogram(
            "preemption_seconds", "Wait of an urgent job for a running audit to yield.", _SHORT
        )
        self.device_seconds = counter("device_seconds_total", "Time that jobs held it.", "path")
        self.preemption_bound = gauge(
            "preemption_bound_seconds", "Longest such wait that audits are cut for.", "model"
        )
        self.worker_condition = gauge(
            "worker_condition", "1 while something is not as it should be.", "model", "what"
        )
        self.worker_replacements = gauge("worker_replacements", "Workers that lost their device.")
        self.model_evaluations = counter(
            "model_evaluations_total", "Images that a network was run on.", "model", "path"
        )
        self.batch_size = histogram(
            "batch_size", "Images of one forward pass of predictions.", _COUNTS, "model"
        )
        self.prediction_confidence = histogram(
            "prediction_confidence", "Calibrated confidence of the finding.", _SHARES, "model"
        )
        self.explanation_quality = histogram(
            "explanation_quality", "Measured quality of explanations.", _FIFTHS, "model", "metric"
        )
        self.explanation_agreement = histogram(
            "explanation_agreement", "Agreement of fast map and audit.", _AGREEMENT, "model"
        )
        self.storage_free_bytes = gauge("storage_free_bytes", "Free space of the data directory.")
        self.ledger_mismatches = gauge(
            "ledger_mismatches", "Problems that the last proof of the ledger found."
        )
        self.ledger_proved = gauge(
            "ledger_proved_timestamp_seconds", "When the ledger was last proven; 0: not yet."
        )
        self.build_info = gauge("build_info", "1, with the version.", "version")
        self.model_info = gauge(
            "model_info", "1, for each model served.", "model", "version", "sha256"
        )

    def _begin(self) -> None:
        """Make every series whose labels are known, so that rates start from zero."""
        for calling in (*sorted(self._calling), _OTHER):
            self.instances_received.labels(calling, "0x0000")
        for urgency in Urgency:
            self.jobs_waiting.labels(urgency)
            self.deadlines_at_risk.labels(urgency)
            for stage in _STAGES:
                self.stage_seconds.labels(stage, urgency)
            for path in JobPath:
                self.turnaround_seconds.labels(path, urgency)
            for outcome in ("met", "missed"):
                self.deadlines.labels(urgency, outcome)
        for path in JobPath:
            self.device_seconds.labels(path)
            self.jobs_running.labels(path)
        for kind in ResultKind:
            for destination in self._destinations:
                for outcome in ("delivered", "dead_letter"):
                    self.results.labels(kind, destination, outcome)

    def know_destinations(self, names: Collection[str]) -> None:
        """Go by other destinations from now on; series of those that are gone stay as they are."""
        self._destinations = tuple(names)
        self._begin()

    def know_webhook(self, name: str) -> None:
        """Start the series of a webhook."""
        for outcome in ("sent", "delayed", "dropped"):
            self.notifications.labels(name, outcome)

    def know_model(self, name: str, version: str, sha256: str) -> None:
        """Show a model that is served, and start its series."""
        self.model_info.labels(name, version, sha256).set(1)
        self._models.append(name)
        self.batch_size.labels(name)
        self.prediction_confidence.labels(name)
        self.explanation_agreement.labels(name)
        for path in JobPath:
            self.model_evaluations.labels(name, path)

    def set_levels(self, levels: Levels, now: float) -> None:
        """Show what is so now; a job whose deadline has just passed is counted as missed."""
        self.associations_active.set(levels.associations_active)
        self.storage_free_bytes.set(levels.storage_free_bytes)
        self.dead_letters.set(levels.dead_letters)
        self._show(levels.condition)
        for urgency in Urgency:
            self.jobs_waiting.labels(urgency).set(levels.jobs_waiting.get(urgency, 0))
        for path in JobPath:
            self.jobs_running.labels(path).set(levels.jobs_running.get(path, 0))
        for at in self._open.values():
            if now > at.job.deadline:
                self._judge(at, "missed")

    def _show(self, condition: Condition) -> None:
        """Show what the worker says of itself."""
        self.worker_replacements.set(condition.replaced)
        for model in self._models:
            self.preemption_bound.labels(model).set(condition.bounds.get(model, 0.0))
            for what, noted in condition.by_kind.items():
                self.worker_condition.labels(model, what).set(model in noted)

    def count_received(self, calling_ae: str, status: int, seconds: float, size_bytes: int) -> None:
        """Count one answered C-STORE; stored ones come in by their event already.

        The first 50 calling AE titles keep a label of their own, the rest is "other"; ``status`` is
        the DIMSE status (PS3.7 annex C), ``size_bytes`` 0 for a refusal.
        """
        if calling_ae not in self._calling:
            if len(self._calling) < _MOST_CALLING:
                self._calling.add(calling_ae)
            else:
                calling_ae = _OTHER
        self.instances_received.labels(calling_ae, f"0x{status:04X}").inc()
        if size_bytes:
            self.received_bytes.inc(size_bytes)
            self.receive_seconds.observe(max(0.0, seconds))

    def count_preemption(self, seconds: float) -> None:
        """Take in how long an urgent job waited at the gate for an audit's chunk to end."""
        self.preemption_seconds.observe(max(0.0, seconds))

    def tell_proof(self, mismatches: int, now: float) -> None:
        """Show what a proof of the ledger found."""
        self.ledger_mismatches.set(mismatches)
        self.ledger_proved.set(now)

    def count_pass(self, model: str, images: int) -> None:
        """Take in a forward pass of a served model; images of several studies may share one."""
        if model in self._models:
            self.batch_size.labels(model).observe(images)

    def observe_event(self, recorded: Recorded, job: Job | None = None) -> None:
        """Move the metrics by one event of the ledger; each is to be given once, in order of time.

        ``job`` is the event's job as it is now; its ``JobPlaced`` may not have been observed.
        """
        event, at = recorded.event, recorded.at
        if isinstance(event, InstanceStored):
            arrival, size = event.arrival, event.instance.size_bytes
            self.count_received(arrival.calling_ae, 0, at - arrival.received_at, size)
        elif isinstance(event, NotificationEvent):
            self.notifications.labels(event.webhook, event.outcome).inc()
        elif isinstance(event, DeliveryDelayed):
            self.delivery_retries.inc(int(event.is_tried))
            self._judge_by(job)
        elif isinstance(event, JobPlaced):
            self._placed(event.job)
        elif isinstance(event, JobMoved) and (of := self._open.get(event.job_id)):
            of.job = moved(of.job, event.urgency, event.deadline, event.rule, event.move)
        elif isinstance(event, Delivered | DeadLettered) and event.again:
            pass  # sent again for want of a commitment: its job was over and judged long ago
        elif isinstance(event, _OfJob):
            if job is not None and event.job_id not in self._open:
                self._open[event.job_id] = _Open(job)
            found = self._open.get(event.job_id)
            if found is not None:
                self._of_job(found, event, at)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return text_of(self._registry.collect(), floatToGoString)

    def _placed(self, job: Job) -> None:
        self._open[job.job_id] = _Open(job)
        self._stage("receive", job, job.placed_at - job.received_at)

    def _of_job(self, of: _Open, event: _OfJob, at: float) -> None:
        match event:
            case JobStarted():
                self._stage("wait", of.job, at - of.job.placed_at)
            case Predicted():
                self._predicted(of, event)
            case Attributed():
                self._attributed(of, event, at)
            case ResultsWritten():
                self._written(of, event, at)
            case Delivered() | NotTaken():
                self._settled(of, event, at)
            case DeadLettered():
                self._count_result(of, event.sop_instance_uid, event.destination, "dead_letter")
                self._judge(of, "missed")
            case JobFailed():
                if event.reason is ListedReason.FAILED:
                    self._judge(of, "missed")
                self._over(of)

    def _predicted(self, of: _Open, event: Predicted) -> None:
        prediction, job = event.prediction, of.job
        self._stage("decode", job, prediction.decode_seconds)
        self._stage("infer", job, prediction.infer_seconds)
        self.prediction_confidence.labels(job.model).observe(prediction.confidence)
        self.model_evaluations.labels(job.model, job.path).inc(prediction.frames)

    def _attributed(self, of: _Open, event: Attributed, at: float) -> None:
        of.attributed_at = at
        record, job = event.record, of.job
        self._stage("explain", job, record.seconds)
        spent = 0 if record.taken_from else record.evaluations
        self.model_evaluations.labels(job.model, job.path).inc(spent)
        for name, value in record.quality.items():
            if value < 0.0:
                continue  # a histogram's sum must not fall; what is below zero stands in the ledger
            self.explanation_quality.labels(job.model, name).observe(value)
        if record.agreement is not None:
            self.explanation_agreement.labels(job.model).observe(record.agreement)

    def _written(self, of: _Open, event: ResultsWritten, at: float) -> None:
        of.written_at = at
        if of.attributed_at:
            self._stage("encode", of.job, at - of.attributed_at)
        for result in event.results:
            of.kinds[result.sop_instance_uid] = result.kind
            for name in self._destinations:
                of.awaited.add((result.sop_instance_uid, name))
        if not event.results or event.withheld:  # there is no turnaround
            self._over(of)
        elif not of.awaited:
            self._finish(of, at)

    def _settled(self, of: _Open, event: Delivered | NotTaken, at: float) -> None:
        if isinstance(event, Delivered):
            self._count_result(of, event.sop_instance_uid, event.destination, "delivered")
        of.awaited.discard((event.sop_instance_uid, event.destination))
        if of.kinds and not of.awaited:
            self._stage("deliver", of.job, at - of.written_at)
            self._finish(of, at)

    def _finish(self, of: _Open, at: float) -> None:
        job = of.job
        self.turnaround_seconds.labels(job.path, job.urgency).observe(at - job.received_at)
        self._judge(of, "met" if at <= job.deadline else "missed")
        self._over(of)

    def _over(self, of: _Open) -> None:
        del self._open[of.job.job_id]

    def _judge_by(self, job: Job | None) -> None:
        """Go by the job as it is now: its deadline stands still while it waits for hours."""
        if job is not None and job.job_id in self._open:
            self._open[job.job_id].job = job

    def _judge(self, of: _Open, outcome: Literal["met", "missed"]) -> None:
        if not of.judged:
            self.deadlines.labels(of.job.urgency, outcome).inc()
            of.judged = True

    def _count_result(self, of: _Open, sop_instance_uid: str, destination: str, how: str) -> None:
        kind = of.kinds.get(sop_instance_uid)
        if kind is not None:
            self.results.labels(kind, destination, how).inc()

    def _stage(self, stage: str, job: Job, seconds: float) -> None:
        self.stage_seconds.labels(stage, job.urgency).observe(max(0.0, seconds))
