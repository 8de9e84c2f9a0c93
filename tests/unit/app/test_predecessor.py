"""Which result a job replaces follows from the ledger alone, whoever asks and whenever."""

from __future__ import annotations

from dataclasses import replace

from builders import a_job, a_predicted, a_written, an_attribution_record, an_instance
from fakes.ledger import FakeLedger
from lightbox.app.questions.predecessor import is_before, replaced_by
from lightbox.domain.events import Attributed, JobFailed, JobPlaced
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.result import ListedReason

ONE, TWO, THREE = (an_instance(str(n)) for n in (1, 2, 3))
FIRST = a_job(ONE)
SECOND = a_job(ONE, TWO, revision=2, supersedes=FIRST.job_id)
THIRD = a_job(ONE, TWO, THREE, revision=3, supersedes=SECOND.job_id)


def explained(job: Job, agreement: float | None = None) -> Attributed:
    record = an_attribution_record(agreement=agreement)
    if agreement is not None:
        record = replace(record, quality={"agreement": agreement})
    return Attributed(job.study_instance_uid, job.job_id, record)


def test_the_first_job_of_a_unit_replaces_nothing() -> None:
    ledger = FakeLedger()
    ledger.record(JobPlaced(FIRST), a_predicted(FIRST), explained(FIRST))
    assert replaced_by(ledger.find, FIRST) is None


def test_a_second_one_replaces_what_was_written_before_it_was_explained() -> None:
    ledger = FakeLedger()
    ledger.record(
        JobPlaced(FIRST), a_predicted(FIRST), explained(FIRST), a_written(FIRST),
        JobPlaced(SECOND), a_predicted(SECOND), explained(SECOND),
    )  # fmt: skip
    found = replaced_by(ledger.find, SECOND)
    assert found is not None
    assert found.job == FIRST
    assert found.results == a_written(FIRST).results
    assert not found.contradicted


def test_what_was_written_only_afterwards_is_not_replaced_by_name() -> None:
    ledger = FakeLedger()
    ledger.record(
        JobPlaced(FIRST), a_predicted(FIRST), explained(FIRST), JobPlaced(SECOND),
        a_predicted(SECOND), explained(SECOND), a_written(FIRST),
    )  # fmt: skip
    assert replaced_by(ledger.find, SECOND) is None


def test_what_came_meanwhile_changes_nothing_when_the_job_is_repeated() -> None:
    ledger = FakeLedger()
    ledger.record(JobPlaced(FIRST), a_predicted(FIRST), explained(FIRST), JobPlaced(SECOND))
    ledger.record(a_predicted(SECOND), explained(SECOND))
    before = replaced_by(ledger.find, SECOND)
    ledger.record(a_written(FIRST), explained(SECOND))  # known: the row stays where it was
    assert replaced_by(ledger.find, SECOND) == before


def test_a_predecessor_without_results_is_passed_over() -> None:
    ledger = FakeLedger()
    failed = JobFailed(SECOND.study_instance_uid, SECOND.job_id, ListedReason.FAILED, "no memory")
    ledger.record(
        JobPlaced(FIRST), a_predicted(FIRST), explained(FIRST), a_written(FIRST),
        JobPlaced(SECOND), failed, JobPlaced(THIRD), a_predicted(THIRD), explained(THIRD),
    )  # fmt: skip
    found = replaced_by(ledger.find, THIRD)
    assert found is not None
    assert found.job == FIRST


def test_results_that_were_withheld_replace_nothing_and_are_not_replaced() -> None:
    ledger = FakeLedger()
    ledger.record(
        JobPlaced(FIRST), a_predicted(FIRST), explained(FIRST), a_written(FIRST, withheld="blank"),
        JobPlaced(SECOND), a_predicted(SECOND), explained(SECOND),
    )  # fmt: skip
    assert replaced_by(ledger.find, SECOND) is None


def test_an_audit_that_contradicted_its_picture_is_remembered_as_such() -> None:
    old = a_job(ONE, path=JobPath.AUDIT)
    new = a_job(ONE, TWO, path=JobPath.AUDIT, revision=2, supersedes=old.job_id)
    ledger = FakeLedger()
    ledger.record(
        JobPlaced(FIRST), a_predicted(FIRST), JobPlaced(old), explained(old, -0.5), a_written(old),
        JobPlaced(new), explained(new),
    )  # fmt: skip
    found = replaced_by(ledger.find, new)
    assert found is not None
    assert found.contradicted
    assert found.prediction == a_predicted(FIRST).prediction


def test_rows_of_one_chain_are_ordered_by_their_position_even_where_the_clock_went_back() -> None:
    ledger = FakeLedger()
    first, second = ledger.record(JobPlaced(FIRST), JobPlaced(SECOND))
    assert first.at == second.at
    assert is_before(first, second)
    assert not is_before(second, first)
