"""A study that will miss its deadline is said before it does, from what jobs took lately."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, a_job, a_predicted, a_result, a_stored, a_uid, an_instance
from lightbox.domain.account import Account
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    JobFailed,
    JobMoved,
    JobPlaced,
    JobStarted,
    MissExpected,
    NotTaken,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.forecast import Forecast
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Urgency

LANES = {Urgency.STAT: 4, Urgency.HIGH: 2, Urgency.ROUTINE: 2, Urgency.AUDIT: 1}


class Bench:
    """A forecast that reads rows."""

    def __init__(self) -> None:
        self.forecast = Forecast(LANES)
        self.rows: list[Recorded] = []

    def tell(self, at: float, *events: Event) -> None:
        for event in events:
            row = Recorded("work", len(self.rows) + 1, at, "", event)
            self.rows.append(row)
            self.forecast.observe(row)

    def measure(self, seconds: float, delivery: float = 0.0) -> None:
        """Let one job take so long."""
        job = job_of("measured", received_at=NOON - 1000.0)
        begin = NOON - 1000.0
        self.tell(begin, JobPlaced(job), started(job))
        self.tell(begin + seconds, written(job))
        self.tell(begin + seconds + delivery, delivered(job))


def job_of(name: str, urgency: Urgency = Urgency.ROUTINE, received_at: float = NOON) -> Job:
    instance = an_instance(name, study=a_uid("study", name))
    return a_job(instance, urgency=urgency, received_at=received_at)


def started(job: Job) -> JobStarted:
    return JobStarted(job.study_instance_uid, job.job_id)


def written(job: Job) -> ResultsWritten:
    return ResultsWritten(job.study_instance_uid, job.job_id, (a_result(job),), "", ("pacs",))


def of(job: Job) -> tuple[str, str, str, str]:
    return job.study_instance_uid, job.job_id, a_result(job).sop_instance_uid, "pacs"


def delivered(job: Job) -> Delivered:
    return Delivered(*of(job), 1)


def test_the_end_of_a_long_line_is_late_and_its_beginning_is_not() -> None:
    bench = Bench()
    bench.measure(10.0)
    jobs = [replace(job_of(f"{n:03}"), deadline=NOON + 300.0) for n in range(100)]
    bench.tell(NOON, *(JobPlaced(job) for job in jobs))
    late = bench.forecast.misses(NOON + 1.0)
    # Two at once, ten seconds each: after 299 s some 58 are done.
    assert len(late) == pytest.approx(42, abs=2)
    assert all(NOON + 300.0 < miss.expected_at <= NOON + 512.0 for miss in late)
    assert bench.forecast.misses(NOON + 2.0) == ()
    assert bench.forecast.at_risk()[Urgency.ROUTINE] == len(late)


def test_a_single_job_that_just_waits_is_said_before_its_deadline() -> None:
    bench = Bench()
    bench.measure(1.0, delivery=0.5)
    job = job_of("1", Urgency.STAT)
    bench.tell(NOON, JobPlaced(job))
    assert bench.forecast.misses(NOON + 0.4) == ()
    (miss,) = bench.forecast.misses(NOON + 0.6)
    assert (miss.job_id, miss.deadline) == (job.job_id, NOON + 2.0)
    assert miss.expected_at == pytest.approx(NOON + 2.1)


def test_a_stat_job_does_not_wait_for_those_that_are_less_urgent() -> None:
    bench = Bench()
    bench.measure(1.0)
    bench.tell(NOON, *(JobPlaced(job_of(str(n))) for n in range(50)))
    stat = job_of("stat", Urgency.STAT)
    bench.tell(NOON, JobPlaced(stat))
    assert bench.forecast.expected(NOON)[stat.job_id] == NOON + 1.0


def test_a_result_that_waits_for_its_archive_is_expected_at_the_next_try() -> None:
    bench = Bench()
    job = job_of("1")
    bench.tell(NOON, JobPlaced(job), started(job))
    bench.tell(NOON + 1.0, written(job))
    assert bench.forecast.misses(NOON + 1.0) == ()
    uid, retry_at = a_result(job).sop_instance_uid, NOON + 600.0
    delayed = DeliveryDelayed(job.study_instance_uid, job.job_id, uid, "pacs", 1, "no", retry_at)
    bench.tell(NOON + 2.0, delayed)
    (miss,) = bench.forecast.misses(NOON + 2.0)
    assert miss.expected_at == retry_at


@pytest.mark.parametrize(
    "how", ["delivered", "not taken", "dead", "nobody gets it", "failed", "superseded"]
)
def test_what_is_over_is_expected_no_more(how: str) -> None:
    bench = Bench()
    job = job_of("1")
    bench.tell(NOON, JobPlaced(job))
    if how == "delivered":
        bench.tell(NOON + 1.0, started(job), written(job), delivered(job))
    elif how == "not taken":
        bench.tell(NOON + 1.0, started(job), written(job), NotTaken(*of(job), "no SC there"))
    elif how == "dead":
        bench.tell(NOON + 1.0, started(job), written(job), DeadLettered(*of(job), 11, "refused"))
    elif how == "nobody gets it":
        bench.tell(NOON + 1.0, started(job), replace(written(job), destinations=()))
    elif how == "failed":
        why = ListedReason.FAILED
        bench.tell(NOON + 1.0, JobFailed(job.study_instance_uid, job.job_id, why, ""))
    else:
        newer = replace(job_of("2"), supersedes=job.job_id)
        bench.tell(NOON + 1.0, JobPlaced(newer))
    assert job.job_id not in bench.forecast.expected(NOON + 2.0)


def test_a_model_that_was_never_measured_is_expected_to_take_as_long_as_others() -> None:
    bench = Bench()
    new = replace(job_of("1"), model="new")
    bench.tell(NOON, JobPlaced(new))
    assert bench.forecast.expected(NOON)[new.job_id] == NOON
    bench.measure(4.0)
    assert bench.forecast.expected(NOON)[new.job_id] == NOON + 4.0


def test_a_running_job_needs_what_is_left_and_no_more() -> None:
    bench = Bench()
    bench.measure(4.0)
    job = job_of("1")
    bench.tell(NOON, JobPlaced(job), started(job), a_predicted(job))
    assert bench.forecast.expected(NOON + 3.0)[job.job_id] == NOON + 4.0
    assert bench.forecast.expected(NOON + 9.0)[job.job_id] == NOON + 9.0


def test_a_result_that_another_destination_still_waits_for_is_not_over() -> None:
    bench = Bench()
    job = job_of("1")
    both = replace(written(job), destinations=("pacs", "second"))
    bench.tell(NOON, JobPlaced(job), delivered(job), started(job), both)
    bench.tell(NOON + 1.0, delivered(job))
    assert job.job_id in bench.forecast.expected(NOON + 2.0)


def test_audits_are_not_promised_to_the_second() -> None:
    bench = Bench()
    bench.tell(NOON, a_stored())
    bench.tell(NOON, JobPlaced(a_job(path=JobPath.AUDIT, urgency=Urgency.AUDIT)))
    assert bench.forecast.expected(NOON) == {}


def test_a_job_that_was_moved_is_held_to_its_new_deadline() -> None:
    bench = Bench()
    bench.measure(1.0)
    job = job_of("1")
    bench.tell(NOON, JobPlaced(job))
    move = JobMoved(job.study_instance_uid, job.job_id, Urgency.STAT, NOON + 102.0, "anna", 1)
    bench.tell(NOON + 100.0, move)
    (miss,) = bench.forecast.misses(NOON + 101.5)
    assert miss.deadline == NOON + 102.0
    assert bench.forecast.at_risk()[Urgency.STAT] == 1


def test_what_was_said_in_the_last_run_is_not_said_again() -> None:
    bench = Bench()
    bench.measure(1.0)
    job = job_of("1", Urgency.STAT)
    bench.tell(NOON, JobPlaced(job))
    (miss,) = bench.forecast.misses(NOON + 1.5)
    bench.tell(NOON + 1.5, miss)
    again = Bench()
    for row in bench.rows:
        again.tell(row.at, row.event)
    assert again.forecast.misses(NOON + 1.6) == ()
    assert again.forecast.at_risk()[Urgency.STAT] == 1


@given(st.lists(st.sampled_from((Urgency.STAT, Urgency.HIGH, Urgency.ROUTINE)), max_size=12))
def test_nobody_is_expected_before_somebody_more_urgent(urgencies: list[Urgency]) -> None:
    bench = Bench()
    bench.measure(3.0)
    jobs = [job_of(str(n), urgency) for n, urgency in enumerate(urgencies)]
    bench.tell(NOON, *(JobPlaced(job) for job in jobs))
    expected = bench.forecast.expected(NOON)
    order = sorted(jobs, key=lambda job: (job.urgency.rank, job.deadline, job.job_id))
    times = [expected[job.job_id] for job in order]
    assert times == sorted(times)


def study_after(*events: Event) -> float | None:
    account = Account(("pacs",))
    for number, event in enumerate(events, start=1):
        account.apply(Recorded("control", number, NOON + number, "", event))
    return account.study(JOB.study_instance_uid).expected


JOB = job_of("1")
MISS = MissExpected(JOB.study_instance_uid, JOB.job_id, NOON + 400.0, JOB.deadline)
MOVE = JobMoved(JOB.study_instance_uid, JOB.job_id, Urgency.HIGH, NOON + 900.0, "anna", 1)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((JobPlaced(JOB),), None),
        ((JobPlaced(JOB), MISS), 400.0),
        ((MISS, JobPlaced(JOB)), 400.0),
        ((JobPlaced(JOB), MISS, MOVE), None),
        ((JobPlaced(JOB), MISS, written(JOB), delivered(JOB)), None),
    ],
)
def test_an_open_study_says_what_is_expected_of_it(
    events: Iterable[Event], expected: float | None
) -> None:
    assert study_after(*events) == expected
