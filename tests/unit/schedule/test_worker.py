from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from builders import a_job, a_placed_job, a_written, an_instance
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.errors import (
    CancelledError,
    ConfigurationError,
    ExplanationError,
    HeldError,
    LedgerError,
    LightboxError,
    ModelPackageError,
    NotApplicableError,
    OperationError,
    ResultError,
    StoppingError,
    UnreadableError,
)
from lightbox.domain.events import JobFailed, JobMoved, JobPlaced, JobRetried, JobStarted
from lightbox.domain.jobs import Job
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Urgency
from lightbox.ports import Step
from lightbox.schedule.worker import Worker

JOB = a_job(an_instance("1"))


def step(name: str, function: Callable[[], str]) -> str:
    return function()


class Bench:
    """A worker with a ledger that knows one job."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.ledger = FakeLedger()
        self.ledger.record(JobPlaced(JOB))
        self.ran: list[Job] = []
        self.failure = failure
        self.worker = Worker(self.ledger, self._run, FakeClock())

    def _run(self, job: Job, _step: Step) -> None:
        self.ran.append(job)
        if self.failure is not None:
            raise self.failure

    def end(self) -> JobFailed:
        self.worker.handle(JOB.job_id, step)
        event = self.ledger.events[-1]
        assert isinstance(event, JobFailed)
        return event


def test_a_job_is_run_and_its_start_is_recorded() -> None:
    bench = Bench()
    bench.worker.handle(JOB.job_id, step)
    assert bench.ran == [JOB]
    assert bench.ledger.events[1:] == (JobStarted(JOB.study_instance_uid, JOB.job_id),)


def test_a_job_that_has_its_results_is_left_alone() -> None:
    bench = Bench()
    bench.ledger.record(a_written(JOB))
    bench.worker.handle(JOB.job_id, step)
    assert bench.ran == []


def test_a_job_that_failed_is_left_alone() -> None:
    bench = Bench(NotApplicableError("model", "must not be run"))
    bench.end()
    bench.worker.handle(JOB.job_id, step)
    assert len(bench.ran) == 1


def test_a_job_that_the_ledger_does_not_know_is_not_run() -> None:
    bench = Bench()
    bench.worker.handle(a_job(an_instance("2")).job_id, step)
    assert bench.ran == []
    assert len(bench.ledger.events) == 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (UnreadableError, ListedReason.UNREADABLE),
        (NotApplicableError, ListedReason.NOT_APPLICABLE),
        (ExplanationError, ListedReason.WITHHELD),
        (ResultError, ListedReason.WITHHELD),
        (CancelledError, ListedReason.CANCELLED),
        (ModelPackageError, ListedReason.FAILED),
        (ConfigurationError, ListedReason.FAILED),
    ],
)
def test_each_error_of_ours_has_its_reason(kind: type[LightboxError], reason: ListedReason) -> None:
    failed = Bench(kind("instance 1.2.3", "has no pixels", "send it again")).end()
    assert (failed.job_id, failed.study) == (JOB.job_id, JOB.study_instance_uid)
    assert failed.reason is reason
    assert failed.detail == "instance 1.2.3: has no pixels (send it again)"


def test_an_unexpected_error_fails_the_job_and_tells_no_patient(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    failed = Bench(ValueError("bad value DOE^JANE")).end()
    assert failed.reason is ListedReason.FAILED
    assert failed.detail == "unexpected ValueError"
    assert "ValueError" in caplog.text
    assert "DOE" not in caplog.text


def test_a_stopping_process_leaves_the_job_for_the_next_start() -> None:
    bench = Bench(StoppingError("job"))
    with pytest.raises(StoppingError):
        bench.worker.handle(JOB.job_id, step)
    assert not any(isinstance(event, JobFailed) for event in bench.ledger.events)
    bench.failure = None
    bench.worker.handle(JOB.job_id, step)
    assert len(bench.ran) == 2


def test_a_ledger_that_cannot_be_written_leaves_the_job_for_the_next_start() -> None:
    bench = Bench()
    bench.ledger.fail()
    with pytest.raises(LedgerError):
        bench.worker.handle(JOB.job_id, step)
    assert bench.ran == []


def test_a_ledger_that_fails_in_the_middle_does_not_fail_the_job() -> None:
    bench = Bench(LedgerError("ledger work", "the disk is full"))
    with pytest.raises(LedgerError):
        bench.worker.handle(JOB.job_id, step)
    assert not any(isinstance(event, JobFailed) for event in bench.ledger.events)


def test_a_job_that_is_given_up_is_recorded_with_the_reason() -> None:
    bench = Bench()
    bench.worker.give_up(JOB.job_id, "it stopped the process 3 times")
    bench.worker.give_up(JOB.job_id, "again")
    failed = bench.ledger.events[-1]
    assert isinstance(failed, JobFailed)
    assert (failed.reason, failed.detail) == (
        ListedReason.FAILED,
        "it stopped the process 3 times",
    )
    assert len(bench.ledger.events) == 2


def test_the_job_comes_from_the_ledger_not_from_the_queue() -> None:
    bench = Bench()
    other = a_placed_job(an_instance("2"))
    bench.ledger.record(other)
    bench.worker.handle(other.job.job_id, step)
    assert bench.ran == [other.job]


def test_a_failed_job_that_a_person_retries_runs_again_and_may_fail_again() -> None:
    bench = Bench(UnreadableError("file", "is torn"))
    bench.end()
    bench.worker.handle(JOB.job_id, step)
    assert len(bench.ran) == 1
    bench.ledger.record(JobRetried(JOB.study_instance_uid, JOB.job_id, 2, "anna"))
    assert bench.end().attempt == 2
    assert [job.attempt for job in bench.ran] == [1, 2]
    assert JobStarted(JOB.study_instance_uid, JOB.job_id, 2) in bench.ledger.events


def test_a_job_that_is_held_is_not_started_and_leaves_no_trace() -> None:
    bench = Bench()

    def hold(job: Job) -> None:
        raise HeldError(job.model)

    bench.worker = Worker(bench.ledger, bench._run, FakeClock(), hold)
    with pytest.raises(HeldError):
        bench.worker.handle(JOB.job_id, step)
    assert bench.ledger.events == (JobPlaced(JOB),)


def test_a_job_that_a_person_cancelled_while_it_ran_has_one_end() -> None:
    bench = Bench()
    end = JobFailed(JOB.study_instance_uid, JOB.job_id, ListedReason.CANCELLED, "by anna")

    def cancelled_meanwhile(job: Job, _step: Step) -> None:
        bench.ledger.record(end)
        raise CancelledError(f"job {job.job_id}", "was cancelled")

    bench.worker = Worker(bench.ledger, cancelled_meanwhile, FakeClock())
    bench.worker.handle(JOB.job_id, step)
    assert [e for e in bench.ledger.events if isinstance(e, JobFailed)] == [end]


def test_a_job_that_was_moved_is_run_with_the_urgency_that_it_has_now() -> None:
    bench = Bench()
    study, name = JOB.study_instance_uid, JOB.job_id
    bench.ledger.record(JobMoved(study, name, Urgency.HIGH, 9.0, "critical finding", 1))
    bench.ledger.record(JobMoved(study, name, Urgency.STAT, 7.0, "STAT by anna", 2))
    bench.worker.handle(name, step)
    (ran,) = bench.ran
    assert (ran.urgency, ran.deadline, ran.rule) == (Urgency.STAT, 7.0, "STAT by anna")
    assert ran.reason == JOB.reason


def test_a_job_that_is_handed_out_twice_runs_once() -> None:
    ledger = FakeLedger()
    ledger.record(JobPlaced(JOB))
    ran: list[str] = []

    def run(job: Job, _step: Step) -> None:
        ran.append(job.job_id)
        with pytest.raises(OperationError, match="runs already"):
            worker.handle(job.job_id, step)

    worker = Worker(ledger, run, FakeClock())
    worker.handle(JOB.job_id, step)
    assert ran == [JOB.job_id]
