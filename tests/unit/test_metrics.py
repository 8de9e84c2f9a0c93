"""Metrics: exact names, every series from the start, and each job's deadline counted once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from builders import (
    NOON,
    a_job,
    a_placed_job,
    a_predicted,
    a_result,
    a_stored,
    a_uid,
    a_written,
    an_arrival,
    an_attribution_record,
    an_instance,
)
from lightbox.domain.condition import Condition
from lightbox.domain.events import (
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    JobFailed,
    JobStarted,
    Recorded,
)
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.levels import Levels
from lightbox.domain.result import ListedReason, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.domain.webhooks import Happening, NotificationDelayed, NotificationSent
from lightbox.metrics import Metrics

CONTRACT = {
    "instances_received": {"calling_ae", "status"},
    "received_bytes": set(),
    "associations_active": set(),
    "receive_seconds": set(),
    "jobs_waiting": {"urgency"},
    "jobs_running": {"path"},
    "stage_seconds": {"stage", "urgency"},
    "turnaround_seconds": {"path", "urgency"},
    "deadlines": {"urgency", "outcome"},
    "deadlines_at_risk": {"urgency"},
    "results": {"kind", "destination", "outcome"},
    "delivery_retries": set(),
    "dead_letters": set(),
    "notifications": {"webhook", "outcome"},
    "preemption_seconds": set(),
    "preemption_bound_seconds": {"model"},
    "device_seconds": {"path"},
    "worker_condition": {"model", "what"},
    "worker_replacements": set(),
    "model_evaluations": {"model", "path"},
    "batch_size": {"model"},
    "prediction_confidence": {"model"},
    "explanation_quality": {"model", "metric"},
    "explanation_agreement": {"model"},
    "storage_free_bytes": set(),
    "ledger_mismatches": set(),
    "ledger_proved_timestamp_seconds": set(),
    "build_info": {"version"},
    "model_info": {"model", "version", "sha256"},
}
"""Name (without prefix, counters without _total) → labels."""


class Observed:
    """Metrics with a registry of their own, read back by name and labels."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, "1.2.3", ("pacs",), calling_aes=("CT1@10.0.0.7",))
        self.metrics.know_model("chest_xray", "1.0.0", "ab" * 32)

    def see(self, at: float, *events: Event) -> None:
        for number, event in enumerate(events, 1):
            self.metrics.observe_event(Recorded("test", number, at, "", event))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"lightbox_{name}", labels)


def delivered(job: Job, kind: ResultKind = ResultKind.SECONDARY_CAPTURE) -> Delivered:
    uid = a_result(job, kind).sop_instance_uid
    return Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 1)


def test_names_and_labels_are_those_of_the_contract() -> None:
    families = Observed().registry.collect()
    assert {family.name.removeprefix("lightbox_") for family in families} == set(CONTRACT)
    for family in families:
        wanted = CONTRACT[family.name.removeprefix("lightbox_")]
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == wanted, sample.name


def test_every_series_with_known_labels_is_there_from_the_start() -> None:
    seen = Observed()
    for urgency in Urgency:
        assert seen.value("jobs_waiting", urgency=urgency) == 0
        assert seen.value("deadlines_total", urgency=urgency, outcome="missed") == 0
        assert seen.value("turnaround_seconds_count", path="fast", urgency=urgency) == 0
    assert seen.value("instances_received_total", calling_ae="CT1", status="0x0000") == 0
    assert seen.value("prediction_confidence_count", model="chest_xray") == 0
    zero = {"kind": "sc", "destination": "pacs", "outcome": "delivered"}
    assert seen.value("results_total", **zero) == 0
    assert seen.value("build_info", version="1.2.3") == 1


def test_deadlines_are_bucket_edges() -> None:
    seen = Observed()
    for edge in ("2.0", "3.0", "10.0", "300.0"):
        labels = {"path": "fast", "urgency": "STAT", "le": edge}
        assert seen.value("turnaround_seconds_bucket", **labels) == 0


def test_the_exposition_is_what_the_client_itself_would_write() -> None:
    seen = Observed()
    seen.metrics.count_received('a"b\\c\nd', 0xA700, 0.1, 0)
    seen.metrics.storage_free_bytes.set(1.5e12)
    seen.metrics.preemption_bound.labels("m").set(float("inf"))
    assert seen.metrics.exposition() == generate_latest(seen.metrics._registry)


def test_the_exposition_is_readable_by_prometheus() -> None:
    text = Observed().metrics.exposition().decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert "lightbox_deadlines" in names
    assert not any(name.endswith("_created") for name in names)


def test_a_stored_instance_counts_its_bytes_and_its_time() -> None:
    seen = Observed()
    seen.see(NOON + 0.004, a_stored(an_instance(), an_arrival(calling="CT1")))
    assert seen.value("instances_received_total", calling_ae="CT1", status="0x0000") == 1
    assert seen.value("received_bytes_total") == 1024
    assert seen.value("receive_seconds_bucket", le="0.005") == 1


def test_strangers_do_not_grow_the_registry_without_bound() -> None:
    seen = Observed()
    for number in range(200):
        seen.metrics.count_received(f"SCAN{number}", 0xA700, 0.0, 0)
    labels = {
        sample.labels["calling_ae"]
        for family in seen.registry.collect()
        if family.name == "lightbox_instances_received"
        for sample in family.samples
    }
    assert len(labels) == 51
    assert seen.value("instances_received_total", calling_ae="other", status="0xA700") == 151


def test_a_job_is_in_time_when_its_last_result_is_stored_in_time() -> None:
    seen = Observed()
    job = a_job(urgency=Urgency.STAT)
    both = (ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)
    started = JobStarted(job.study_instance_uid, job.job_id)
    seen.see(NOON + 0.1, a_placed_job(urgency=Urgency.STAT), started, a_predicted(job))
    seen.see(NOON + 0.5, a_written(job, *both))
    seen.see(NOON + 0.9, delivered(job, both[0]))
    assert seen.value("deadlines_total", urgency="STAT", outcome="met") == 0
    seen.see(NOON + 1.5, delivered(job, both[1]))
    assert seen.value("deadlines_total", urgency="STAT", outcome="met") == 1
    assert seen.value("turnaround_seconds_sum", path="fast", urgency="STAT") == 1.5
    for kind in both:
        labels = {"kind": kind.value, "destination": "pacs", "outcome": "delivered"}
        assert seen.value("results_total", **labels) == 1
    assert seen.value("stage_seconds_sum", stage="deliver", urgency="STAT") == 1.0


def test_a_late_job_is_missed_when_its_deadline_passes_and_only_once() -> None:
    seen = Observed()
    job = a_job(urgency=Urgency.STAT)
    levels = Levels(0, 0, {}, {}, 0)
    seen.see(NOON + 0.1, a_placed_job(urgency=Urgency.STAT))
    seen.metrics.set_levels(levels, NOON + 1.9)
    assert seen.value("deadlines_total", urgency="STAT", outcome="missed") == 0
    seen.metrics.set_levels(levels, NOON + 2.1)
    seen.metrics.set_levels(levels, NOON + 3.1)
    seen.see(NOON + 4.0, a_written(job), delivered(job))
    assert seen.value("deadlines_total", urgency="STAT", outcome="missed") == 1
    assert seen.value("deadlines_total", urgency="STAT", outcome="met") == 0
    assert seen.value("turnaround_seconds_count", path="fast", urgency="STAT") == 1


def test_a_dead_letter_is_a_missed_deadline_and_can_still_be_delivered() -> None:
    seen = Observed()
    job = a_job()
    seen.see(NOON + 0.1, a_placed_job(), a_written(job))
    uid = a_result(job).sop_instance_uid
    seen.see(
        NOON + 1.0,
        DeliveryDelayed(job.study_instance_uid, job.job_id, uid, "pacs", 1, "down", NOON + 31),
        DeadLettered(job.study_instance_uid, job.job_id, uid, "pacs", 2, "down"),
    )
    assert seen.value("delivery_retries_total") == 1
    assert seen.value("deadlines_total", urgency="ROUTINE", outcome="missed") == 1
    seen.see(NOON + 2.0, delivered(job))
    assert seen.value("deadlines_total", urgency="ROUTINE", outcome="met") == 0
    labels = {"kind": "sc", "destination": "pacs"}
    assert seen.value("results_total", outcome="dead_letter", **labels) == 1
    assert seen.value("results_total", outcome="delivered", **labels) == 1


def test_a_job_that_fails_through_our_fault_misses_and_one_of_bad_input_does_not() -> None:
    seen = Observed()
    first, second = an_instance("1"), an_instance("2")
    for instance, reason in ((first, ListedReason.FAILED), (second, ListedReason.UNREADABLE)):
        job = a_job(instance)
        failed = JobFailed(job.study_instance_uid, job.job_id, reason, "because")
        seen.see(NOON + 1, a_placed_job(instance), failed)
    assert seen.value("deadlines_total", urgency="ROUTINE", outcome="missed") == 1


def test_a_job_whose_results_are_withheld_has_no_turnaround() -> None:
    seen = Observed()
    seen.see(NOON + 1, a_placed_job(), a_written(a_job(), withheld="too uncertain"))
    seen.metrics.set_levels(Levels(0, 0, {}, {}, 0), NOON + 1000)
    assert seen.value("deadlines_total", urgency="ROUTINE", outcome="missed") == 0


def test_predictions_and_explanations_are_counted_by_model() -> None:
    seen = Observed()
    job = a_job(path=JobPath.AUDIT, urgency=Urgency.AUDIT)
    record = an_attribution_record("shapley", evaluations=4096, agreement=0.75)
    seen.see(NOON, a_placed_job(path=JobPath.AUDIT, urgency=Urgency.AUDIT), a_predicted(job))
    seen.see(NOON + 1, Attributed(job.study_instance_uid, job.job_id, record))
    assert seen.value("model_evaluations_total", model="chest_xray", path="audit") == 4097
    assert seen.value("prediction_confidence_bucket", model="chest_xray", le="0.95") == 1
    assert seen.value("explanation_agreement_sum", model="chest_xray") == 0.75


def test_the_wait_for_an_audit_to_yield_is_observed_as_measured() -> None:
    seen = Observed()
    seen.metrics.count_preemption(0.2)
    assert seen.value("preemption_seconds_bucket", le="0.25") == 1


def test_levels_are_shown_as_they_are() -> None:
    seen = Observed()
    seen.metrics.set_levels(Levels(2, 10**9, {"STAT": 3}, {"audit": 1}, 4), NOON)
    assert seen.value("associations_active") == 2
    assert seen.value("storage_free_bytes") == 10**9
    assert seen.value("jobs_waiting", urgency="STAT") == 3
    assert seen.value("jobs_running", path="audit") == 1
    assert seen.value("dead_letters") == 4


def test_no_uid_becomes_a_label() -> None:
    seen = Observed()
    job = a_job()
    seen.see(NOON, a_stored(), a_placed_job(), a_written(job), delivered(job))
    text = seen.metrics.exposition().decode()
    assert a_uid("study") not in text
    assert "2.25." not in text


def test_what_is_sent_again_for_want_of_a_commitment_does_not_judge_its_job_again() -> None:
    seen, job = Observed(), a_job()
    seen.see(NOON, a_placed_job(*job.instances))
    uid = a_result(job).sop_instance_uid
    about = (job.study_instance_uid, job.job_id, uid, "pacs")
    seen.see(NOON, a_written(job), delivered(job))
    again = Delivered(*about, attempt=2, again=1)
    dead = DeadLettered(*about, attempt=2, reason="stored but not committed", again=2)
    for event in (again, dead):
        seen.metrics.observe_event(Recorded("test", 9, NOON + 60, "", event), job)
    seen.metrics.set_levels(Levels(0, 0, {}, {}, 1), NOON + 10**6)
    for outcome, count in (("met", 1), ("missed", 0)):
        assert seen.value("deadlines_total", urgency=job.urgency, outcome=outcome) == count


def test_what_the_worker_does_without_is_shown_for_each_model() -> None:
    seen = Observed()
    condition = Condition(
        bounds={"chest_xray": 0.25}, out_of_service={"chest_xray": "NaN"}, replaced=2
    )
    seen.metrics.set_levels(Levels(0, 0, {}, {}, 0, condition), NOON)
    of = {"model": "chest_xray"}
    assert seen.value("worker_condition", what="out_of_service", **of) == 1
    assert seen.value("worker_condition", what="eased", **of) == 0
    assert seen.value("preemption_bound_seconds", **of) == 0.25
    assert seen.value("worker_replacements") == 2
    seen.metrics.set_levels(Levels(0, 0, {}, {}, 0), NOON)
    assert seen.value("worker_condition", what="out_of_service", **of) == 0


def test_a_pass_is_counted_for_a_model_that_is_served_only() -> None:
    seen = Observed()
    seen.metrics.count_pass("chest_xray", 3)
    seen.metrics.count_pass("DOE^JANE", 1)
    assert seen.value("batch_size_sum", model="chest_xray") == 3
    assert "DOE" not in seen.metrics.exposition().decode()


def test_notifications_are_counted_by_webhook_from_zero() -> None:
    seen = Observed()
    seen.metrics.know_webhook("ris")
    assert seen.value("notifications_total", webhook="ris", outcome="dropped") == 0
    told = ("1.2", "a-name", Happening.RESULT, "ris")
    seen.see(NOON, NotificationDelayed(*told, 1, "HTTP 500", 1.0), NotificationSent(*told, 2))
    assert seen.value("notifications_total", webhook="ris", outcome="delayed") == 1
    assert seen.value("notifications_total", webhook="ris", outcome="sent") == 1
