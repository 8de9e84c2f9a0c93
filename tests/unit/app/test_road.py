"""Which event leads to which door, and that no stranger's header stops the road."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from builders import (
    NOON,
    a_digest,
    a_job,
    a_predicted,
    a_prediction,
    a_stored,
    a_written,
    an_attribution_record,
    an_instance,
)
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.road import Road
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.errors import UnreadableError
from lightbox.domain.events import (
    Attributed,
    InstanceListed,
    InstanceTorn,
    JobFailed,
    JobPlaced,
    JobRetried,
    NotTaken,
    Recorded,
    StudyUrged,
)
from lightbox.domain.jobs import Job
from lightbox.domain.model_package import Accepts, Code, Finding, ModelPackage, Preprocessing
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Urged, Urgency
from lightbox.settings import StudySettings
from lightbox.studies.assemble import Assemble


def a_package(name: str, *, critical: bool) -> ModelPackage:
    """Return a model of one finding."""
    code = Code(scheme="99", value="1", meaning="Bleeding")
    return ModelPackage(
        name=name,
        version="1.0.0",
        sha256=a_digest("weights", name),
        unit="instance",
        intended_use="tests",
        licence="CC0",
        citation="none",
        accepts=Accepts(modality=("MR",)),
        preprocessing=Preprocessing(size=(64, 64)),
        findings=(Finding(name="bleeding", label="Bleeding", code=code, critical=critical),),
    )


class Silent:
    """Stands where this test asks for nothing."""

    def urged(self, _: str) -> None:
        """No study was given another urgency."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_arguments, **_named: ()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnreadableError("file", "is cut off"), "is cut off"),
        (RecursionError("deep"), "RecursionError"),
        (KeyError("PatientName of somebody"), "KeyError"),
    ],
)
def test_an_instance_that_cannot_be_described_is_listed_and_the_road_goes_on(
    error: Exception, words: str
) -> None:
    ledger = FakeLedger()

    def describe(_: str) -> dict[str, str]:
        raise error

    silent = cast("Any", Silent())
    road = Road(
        ledger=ledger, describe=describe, assemble=silent, place=silent, sends={},
        wants=lambda *_: True, packages={}, audits=AuditPolicy(), commitments=silent,
        unfinished=lambda _: (), changes=silent,
    )  # fmt: skip
    stored = a_stored(an_instance())
    road.follow(Recorded("receive", 1, 0.0, "", stored), None)
    (listed,) = [event for event in ledger.events if isinstance(event, InstanceListed)]
    assert listed.reason is ListedReason.UNREADABLE
    assert words in listed.detail
    assert "somebody" not in listed.detail


SURE = a_package("sure", critical=True)


def a_road(ledger: FakeLedger, placed: list[tuple[str, str]]) -> Road:
    """Return a road that knows one waiting job of the study and notes how it is moved."""
    silent = cast("Any", Silent())

    class Line(Silent):
        def move(self, job: Job, urged: Urged) -> None:
            placed.append((job.job_id, urged.urgency))

    return Road(
        ledger=ledger, describe=lambda _: {}, assemble=silent, place=cast("Any", Line()), sends={},
        wants=lambda *_: True, packages={"sure": SURE}, audits=AuditPolicy(), commitments=silent,
        unfinished=lambda study: (WAITING,) if study == WAITING.study_instance_uid else (),
        changes=silent,
    )  # fmt: skip


WAITING = a_job(an_instance("2"))


@pytest.mark.parametrize(("confidence", "raised"), [(0.97, True), (0.4, False)])
def test_a_confident_critical_finding_raises_what_follows_of_its_study(
    confidence: float, raised: bool
) -> None:
    ledger, moved = FakeLedger(), list[tuple[str, str]]()
    road = a_road(ledger, moved)
    job = a_job(an_instance("1"), model="sure")
    said = a_predicted(job, a_prediction("bleeding", confidence))
    road.follow(Recorded("work", 1, NOON, "", said), job)
    urged = [event for event in ledger.events if isinstance(event, StudyUrged)]
    assert [(e.urged.urgency, e.urged.rule) for e in urged] == (
        [(Urgency.HIGH, "critical finding bleeding by sure")] if raised else []
    )
    for event in urged:
        road.follow(Recorded("control", 1, NOON, "", event), None)
    assert moved == ([(WAITING.job_id, "HIGH")] if raised else [])


def test_a_job_that_was_placed_while_its_study_was_raised_is_raised_too() -> None:
    """Unit ready and study raised in one look at the ledger: then the job is not known yet."""
    ledger, moved = FakeLedger(), list[tuple[str, str]]()
    job, known = WAITING, list[Job]()
    raised = Urged(Urgency.STAT, "STAT by anna", NOON, is_floor=False)
    silent = cast("Any", Silent())

    class Line(Silent):
        def move(self, job: Job, urged: Urged) -> None:
            moved.append((job.job_id, urged.urgency))

    road = Road(
        ledger=ledger, describe=lambda _: {}, place=cast("Any", Line()), sends={},
        assemble=Assemble(StudySettings(), (), (SURE,), "", FakeClock()),
        wants=lambda *_: True, packages={"sure": SURE}, audits=AuditPolicy(), commitments=silent,
        unfinished=lambda _: known, changes=silent,
    )  # fmt: skip
    road.follow(Recorded("control", 1, NOON, "", JobPlaced(a_job(an_instance("before")))), None)
    road.follow(Recorded("control", 2, NOON, "", StudyUrged(job.study_instance_uid, raised)), None)
    assert moved == []
    known.append(job)
    road.follow(Recorded("control", 3, NOON, "", JobPlaced(job)), None)
    assert moved == [(job.job_id, "STAT")]
    known.clear()  # it has ended meanwhile
    road.follow(Recorded("control", 3, NOON, "", JobPlaced(job)), None)
    assert len(moved) == 1


class Post:
    """An outbox that only counts."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, job_id: str, *_: object) -> bool:
        self.taken.append(job_id)
        return True


def test_of_two_jobs_of_one_unit_the_older_is_not_sent_after_the_newer_was_explained() -> None:
    old = a_job(an_instance("1"))
    new = a_job(an_instance("1"), an_instance("2"), revision=2, supersedes=old.job_id)
    ledger, post, silent = FakeLedger(), Post(), cast("Any", Silent())
    road = Road(
        ledger=ledger, describe=silent, assemble=silent, place=silent,
        sends={"pacs": cast("Any", post)}, wants=lambda *_: True, packages={},
        audits=AuditPolicy(), commitments=silent, unfinished=lambda _: (), changes=silent,
    )  # fmt: skip
    explained = Attributed(new.study_instance_uid, new.job_id, an_attribution_record())
    for row in ledger.record(JobPlaced(old), JobPlaced(new), explained, a_written(old)):
        road.follow(row, old)
    assert post.taken == []
    (not_taken,) = [event for event in ledger.events if isinstance(event, NotTaken)]
    assert not_taken.sop_instance_uid == a_written(old).results[0].sop_instance_uid
    for row in ledger.record(a_written(new)):
        road.follow(row, new)
    assert post.taken == [new.job_id]


def test_jobs_that_failed_while_an_instance_was_torn_are_tried_again_when_it_comes_again() -> None:
    first = a_stored(an_instance("1"))
    job = a_job(first.instance)
    failed = JobFailed(first.study, job.job_id, ListedReason.UNREADABLE, "its file is cut off")
    again = replace(first, again=1)
    ledger, placed = FakeLedger(), list[Job]()
    ledger.record(first, JobPlaced(job), failed, InstanceTorn.of(first), again)

    class Line(Silent):
        def again(self, jobs: Sequence[Job]) -> None:
            placed.extend(jobs)

    class Empty(Silent):
        def take(self, _: object) -> tuple[()]:
            return ()

    silent = cast("Any", Silent())
    road = Road(
        ledger=ledger, describe=lambda _: {}, assemble=cast("Any", Empty()),
        place=cast("Any", Line()), sends={}, wants=lambda *_: True, packages={},
        audits=AuditPolicy(), commitments=silent, unfinished=lambda _: (), changes=silent,
    )  # fmt: skip
    for row in ledger.rows:
        road.follow(row, None)
    assert [(each.job_id, each.attempt) for each in placed] == [(job.job_id, 2)]
    (retried,) = [event for event in ledger.events if isinstance(event, JobRetried)]
    assert "MODALITY" in retried.by
