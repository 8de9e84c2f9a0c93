"""What a rejection note ends, and what goes on."""

from __future__ import annotations

from typing import Any, cast

import pytest

from builders import (
    NOON,
    a_described,
    a_job,
    a_stored,
    a_written,
    an_arrival,
    an_instance,
)
from fakes.ledger import FakeLedger
from lightbox.app.changes.rejections import Rejections
from lightbox.domain.account import Account
from lightbox.domain.events import (
    Delivered,
    Event,
    InstanceListed,
    JobFailed,
    JobPlaced,
    JobStarted,
    NotTaken,
    StudyReady,
    from_json,
    to_json,
)
from lightbox.domain.jobs import JobPath
from lightbox.domain.rejection import (
    KEY_OBJECT_SELECTION,
    RETENTION_EXPIRED,
    ImagesRejected,
    RejectionNote,
)
from lightbox.domain.result import Disposition, ListedReason, ResultKind
from lightbox.domain.study import Described

ONE, TWO = an_instance("1"), an_instance("2")
STUDY = ONE.study_instance_uid


class Line:
    """A queue that remembers what it was asked to let go."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


class Desk:
    """A ledger with a study in it, and the part that follows notes."""

    def __init__(self, *events: Event, note: RejectionNote | None = None) -> None:
        self.ledger, self.queue = FakeLedger(), Line()
        self.ledger.record(*events)
        self.rejections = Rejections(
            self.ledger, cast("Any", self.queue), lambda s: self.account().of(s), lambda _: note
        )

    def account(self) -> Account:
        account = Account(("pacs",))
        for row in self.ledger.rows:
            account.apply(row)
        return account

    def follow(self, *uids: str, title: str = "113001") -> None:
        self.rejections.follow(rejected(*uids, title=title))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.ledger.events if isinstance(event, kind)]


def rejected(*uids: str, title: str = "113001") -> ImagesRejected:
    return ImagesRejected(STUDY, uids, "1.2.9", "ab", title, "READING_ROOM", NOON + 60)


def a_key_object_came() -> Described:
    note = an_instance("note", sop_class=KEY_OBJECT_SELECTION)
    return Described(note, an_arrival(NOON + 60, calling="READING_ROOM"))


def test_a_note_is_recorded_for_each_study_that_it_names_and_is_not_analysed() -> None:
    note = RejectionNote("113037", {"1.2": ("1.2.1", "1.2.2"), "1.3": ("1.3.1",)})
    *events, listed = Desk(note=note).rejections.of_note(a_key_object_came())
    assert [(e.study, e.sop_instance_uids) for e in events if isinstance(e, ImagesRejected)] == [
        ("1.2", ("1.2.1", "1.2.2")),
        ("1.3", ("1.3.1",)),
    ]
    assert isinstance(listed, InstanceListed)
    assert listed.reason is ListedReason.NO_MODEL
    assert "Patient Safety" in listed.detail
    assert all(from_json(to_json(event)) == event for event in events)


def test_an_object_that_is_no_note_leads_to_nothing() -> None:
    desk = Desk(note=RejectionNote("113001", {STUDY: ("1.2.1",)}))
    assert desk.rejections.of_note(a_described(ONE)) == ()
    assert Desk(note=None).rejections.of_note(a_key_object_came()) == ()


@pytest.mark.parametrize("is_started", [False, True])
def test_open_work_on_a_rejected_image_ends_and_the_image_is_listed(is_started: bool) -> None:
    job = a_job(ONE, TWO)
    started = (JobStarted(STUDY, job.job_id),) if is_started else ()
    desk = Desk(a_stored(ONE), a_stored(TWO), JobPlaced(job), *started)
    desk.follow(ONE.sop_instance_uid)
    (failed,) = desk.of(JobFailed)
    assert (failed.job_id, failed.reason) == (job.job_id, ListedReason.REJECTED)
    assert desk.queue.cancelled == [job.job_id]
    (listed,) = desk.of(InstanceListed)
    assert listed.sop_instance_uid == ONE.sop_instance_uid
    assert "READING_ROOM" in listed.detail
    (first, *_) = desk.account().instances()
    assert first.verdict.reason == ListedReason.REJECTED


def test_a_result_that_has_not_left_is_withdrawn() -> None:
    job = a_job(ONE)
    written = a_written(job, ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)
    gone, *waits = written.results
    stored = Delivered(STUDY, job.job_id, gone.sop_instance_uid, "pacs", attempt=1)
    desk = Desk(a_stored(ONE), JobPlaced(job), written, stored)
    desk.follow(ONE.sop_instance_uid)
    assert [event.sop_instance_uid for event in desk.of(NotTaken)] == [
        result.sop_instance_uid for result in waits
    ]
    assert desk.of(JobFailed) == []


def test_what_was_delivered_stays_delivered_and_its_audit_ends() -> None:
    job, audit = a_job(ONE), a_job(ONE, path=JobPath.AUDIT)
    written = a_written(job)
    arrived = [
        Delivered(STUDY, job.job_id, result.sop_instance_uid, "pacs", attempt=1)
        for result in written.results
    ]
    desk = Desk(a_stored(ONE), JobPlaced(job), written, *arrived, JobPlaced(audit))
    desk.follow(ONE.sop_instance_uid)
    assert [event.job_id for event in desk.of(JobFailed)] == [audit.job_id]
    (standing,) = desk.account().instances()
    assert standing.verdict.disposition is Disposition.DELIVERED


def test_following_a_note_twice_changes_nothing_more() -> None:
    desk = Desk(a_stored(ONE), JobPlaced(a_job(ONE)))
    desk.follow(ONE.sop_instance_uid)
    rows = len(desk.ledger.rows)
    desk.follow(ONE.sop_instance_uid)
    assert len(desk.ledger.rows) == rows


def test_an_image_that_came_after_its_retention_ended_elsewhere_is_taken() -> None:
    later = a_stored(ONE, an_arrival(NOON + 120))
    desk = Desk(later)
    desk.follow(ONE.sop_instance_uid, title=RETENTION_EXPIRED)
    assert desk.of(InstanceListed) == []
    desk.follow(ONE.sop_instance_uid, title="113038")
    assert len(desk.of(InstanceListed)) == 1


def test_a_ready_unit_with_a_rejected_image_is_never_placed() -> None:
    ready = StudyReady(
        STUDY, ONE.series_instance_uid, (ONE, TWO), "slices", "ROUTINE", "r", NOON, 1
    )
    desk = Desk(a_stored(ONE), a_stored(TWO), ready)
    assert len(desk.account().unplaced_units()) == 1
    desk.follow(ONE.sop_instance_uid)
    assert desk.account().unplaced_units() == ()
