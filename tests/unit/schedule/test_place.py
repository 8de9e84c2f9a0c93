from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from builders import NOON, a_job, a_model, a_ready_study, an_instance
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import InstanceListed, JobMoved, JobPlaced, StudyReady
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.urgency import Deadlines, Urged, Urgency
from lightbox.schedule.place import Place
from lightbox.schedule.queues.memory import MemoryQueue


class Bench:
    """A place with a ledger and a queue that serves nobody."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOON + 3.0)
        self.ledger = FakeLedger(self.clock)
        self.queue = MemoryQueue(workers=1)
        packages = {p.name: p for p in (a_model("single", "instance"), a_model("vol", "series"))}
        self.place = Place(self.ledger, self.queue, Deadlines(), packages, self.clock)

    def placed(self, unit: StudyReady) -> JobPlaced:
        event = self.place.place(unit)
        assert event is not None
        return event

    @property
    def waiting(self) -> int:
        return sum(self.queue.waiting().values())


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.queue.close(0.0)


def ready(*names: str, model: str = "single", revision: int = 1) -> StudyReady:
    return a_ready_study(*(an_instance(name) for name in names), model=model, revision=revision)


def test_a_ready_unit_becomes_a_job_that_is_recorded_and_queued(bench: Bench) -> None:
    unit = replace(ready("1"), urgency=Urgency.HIGH, rule="rule ed", caveat="c", modality="DX")
    placed = bench.placed(unit)
    job = placed.job
    assert (job.path, job.method, job.model) == (JobPath.FAST, "grad_cam", "single")
    assert (job.urgency, job.rule, job.caveat, job.modality) == (
        Urgency.HIGH,
        "rule ed",
        "c",
        "DX",
    )
    assert (job.placed_at, job.deadline) == (NOON + 3.0, NOON + 10.0)
    assert bench.ledger.events == (placed,)
    assert bench.queue.waiting()["HIGH"] == 1


def test_placing_a_unit_twice_gives_the_first_job(bench: Bench) -> None:
    first = bench.placed(ready("1"))
    bench.clock.advance(5.0)
    assert bench.placed(ready("1")) == first
    assert bench.waiting == 1


def test_a_job_that_cannot_be_recorded_is_not_queued(bench: Bench) -> None:
    bench.ledger.fail()
    with pytest.raises(LedgerError):
        bench.placed(ready("1"))
    assert bench.waiting == 0


def test_a_unit_whose_model_is_not_served_any_more_is_listed(bench: Bench) -> None:
    assert bench.place.place(ready("1", "2", model="gone")) is None
    listed = [event for event in bench.ledger.events if isinstance(event, InstanceListed)]
    assert [event.sop_instance_uid for event in listed] == [
        an_instance(name).sop_instance_uid for name in ("1", "2")
    ]
    assert listed[0].detail == "model gone is not served any more"
    assert bench.waiting == 0


def test_an_audit_is_the_same_unit_later_and_says_why(bench: Bench) -> None:
    fast = bench.placed(replace(ready("1"), urgency=Urgency.STAT)).job
    audit = bench.place.audit(fast, "modality MR").job
    assert (audit.path, audit.method, audit.urgency) == (JobPath.AUDIT, "shapley", Urgency.AUDIT)
    assert (audit.rule, audit.instances) == ("modality MR", fast.instances)
    assert audit.deadline == NOON + 86400.0
    assert audit.job_id != fast.job_id
    assert bench.queue.waiting()["AUDIT"] == 1


def test_the_same_audit_is_asked_for_once_whatever_the_reason(bench: Bench) -> None:
    fast = bench.placed(ready("1")).job
    first = bench.place.audit(fast, "modality MR")
    assert bench.place.audit(fast, "requested") == first
    assert bench.place.audit(fast, "requested", "shapley_exact") != first


def test_a_new_revision_supersedes_the_one_before(bench: Bench) -> None:
    first = bench.placed(ready("1", "2", model="vol")).job
    second = bench.placed(ready("1", "2", "3", model="vol", revision=2)).job
    third = bench.placed(ready("0", "1", "2", "3", model="vol", revision=3)).job
    assert (first.supersedes, second.supersedes, third.supersedes) == (
        "",
        first.job_id,
        second.job_id,
    )


def test_a_new_revision_supersedes_nothing_of_other_units(bench: Bench) -> None:
    bench.placed(ready("2"))
    bench.placed(ready("1", model="vol"))
    again = a_ready_study(an_instance("1", content="new"), model="single", revision=2)
    assert bench.placed(again).job.supersedes == ""


def test_the_audit_of_a_revision_supersedes_the_audit_before(bench: Bench) -> None:
    first = bench.placed(ready("1", model="vol")).job
    audit = bench.place.audit(first, "modality MR").job
    second = bench.placed(ready("1", "2", model="vol", revision=2)).job
    assert bench.place.audit(second, "modality MR").job.supersedes == audit.job_id


def test_recorded_jobs_are_queued_again_without_a_record() -> None:
    before = Bench()
    jobs = [before.placed(ready(name)).job for name in ("1", "2")]
    after = Bench()
    after.place.again(jobs)
    assert (after.waiting, after.ledger.events) == (2, ())


def test_a_raised_job_waits_in_its_new_place_with_a_deadline_that_can_be_kept(
    bench: Bench,
) -> None:
    job = bench.placed(a_ready_study(model="single")).job
    bench.place.move(job, Urged(Urgency.STAT, "STAT by anna", NOON + 60.0, is_floor=False))
    assert bench.queue.waiting()["STAT"] == 1
    (move,) = [event for event in bench.ledger.events if isinstance(event, JobMoved)]
    assert (move.urgency, move.deadline, move.rule) == (Urgency.STAT, NOON + 62.0, "STAT by anna")


def test_a_job_that_has_the_urgency_already_is_let_be_and_an_audit_always(bench: Bench) -> None:
    job = bench.placed(a_ready_study(model="single")).job
    audit = bench.place.audit(job, "modality MR").job
    bench.place.move(job, Urged(job.urgency, "anna", NOON, is_floor=False))
    bench.place.move(audit, Urged(Urgency.STAT, "anna", NOON, is_floor=False))
    assert not [event for event in bench.ledger.events if isinstance(event, JobMoved)]


def test_what_waited_is_handed_out_again_the_most_urgent_first(bench: Bench) -> None:
    handed: list[str] = []

    class Line(MemoryQueue):
        def place(self, job: Job) -> None:
            handed.append(job.urgency)

    place = Place(bench.ledger, Line(1), Deadlines(), {}, bench.clock)
    waited = (Urgency.AUDIT, Urgency.ROUTINE, Urgency.STAT, Urgency.HIGH)
    place.again(a_job(an_instance(level), urgency=level) for level in waited)
    assert handed == ["STAT", "HIGH", "ROUTINE", "AUDIT"]
