from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders import a_digest, a_job, an_instance
from lightbox.domain.jobs import JobPath, job_identity, moved, priority
from lightbox.domain.urgency import Urgency

deadlines = st.floats(min_value=-1e12, max_value=1e12)


def test_the_same_bytes_weights_and_method_are_the_same_job() -> None:
    units = (an_instance("1"), an_instance("2"))
    weights = a_digest("weights")
    one = job_identity(JobPath.FAST, units, weights, "grad_cam")
    assert job_identity(JobPath.FAST, units[::-1], weights, "grad_cam") == one


def test_other_bytes_weights_method_or_path_are_another_job() -> None:
    unit, weights = an_instance("1"), a_digest("weights")
    jobs = {
        job_identity(JobPath.FAST, (unit,), weights, "grad_cam"),
        job_identity(JobPath.FAST, (an_instance("1", content="new"),), weights, "grad_cam"),
        job_identity(JobPath.FAST, (unit, an_instance("2")), weights, "grad_cam"),
        job_identity(JobPath.FAST, (unit,), a_digest("other"), "grad_cam"),
        job_identity(JobPath.FAST, (unit,), weights, "occlusion"),
        job_identity(JobPath.AUDIT, (unit,), weights, "grad_cam"),
    }
    assert len(jobs) == 6


@given(st.sampled_from(Urgency), deadlines)
def test_every_priority_is_one_that_the_engine_takes(urgency: Urgency, deadline: float) -> None:
    job = replace(a_job(urgency=urgency), deadline=deadline)
    assert 1 <= priority(job) <= 2**31 - 1


@given(deadlines, deadlines)
def test_no_overdue_routine_job_goes_before_a_high_one(high: float, routine: float) -> None:
    one = replace(a_job(urgency=Urgency.HIGH), deadline=high)
    other = replace(a_job(urgency=Urgency.ROUTINE), deadline=routine)
    assert priority(one) < priority(other)


@given(
    st.sampled_from(Urgency),
    st.floats(min_value=1.77e9, max_value=2.8e9),
    st.floats(min_value=1.0, max_value=1e8),
)
def test_within_a_class_the_earlier_deadline_goes_first(
    urgency: Urgency, deadline: float, later: float
) -> None:
    one = replace(a_job(urgency=urgency), deadline=deadline)
    other = replace(a_job(urgency=urgency), deadline=deadline + later)
    assert priority(one) < priority(other)


def test_a_job_that_was_moved_twice_still_states_what_it_was_placed_with() -> None:
    job = a_job(urgency=Urgency.ROUTINE, rule="default")
    twice = moved(moved(job, Urgency.STAT, 1.0, "STAT by anna", 1), Urgency.HIGH, 2.0, "b", 2)
    assert (twice.urgency, twice.deadline, twice.rule, twice.moves) == (Urgency.HIGH, 2.0, "b", 2)
    assert twice.reason == job.reason == "ROUTINE: default"
