"""What keeps the files of a study, and for how long."""

from __future__ import annotations

from dataclasses import replace

from builders import NOON, a_job, a_ready_study, a_result, a_stored, a_written, an_instance
from lightbox.domain.commitment import CommitmentAsked, CommitmentFailed, Committed, ResultReference
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    FilesRemoved,
    InstanceListed,
    JobPlaced,
    JobStarted,
    Recorded,
    RemovedFile,
)
from lightbox.domain.keeping import FAILURES_FACTOR, Keeping, files_of, keeping_of
from lightbox.domain.result import ListedReason
from lightbox.domain.study_account import Expectations, StudyAccount

IMAGE = an_instance("1")
JOB = a_job(IMAGE)
STUDY, RESULT = IMAGE.study_instance_uid, a_result(JOB)
UID = RESULT.sop_instance_uid
MADE: list[Event] = [a_stored(IMAGE), a_ready_study(IMAGE), JobPlaced(JOB), a_written(JOB)]
SENT = Delivered(STUDY, JOB.job_id, UID, "pacs", 1)
ASKED = CommitmentAsked(STUDY, "pacs", "2.25.7", (ResultReference(JOB.job_id, "1.2", UID),))
ALL = (IMAGE.path, RESULT.path)


def account(*events: Event) -> StudyAccount:
    made = StudyAccount(STUDY, Expectations(("pacs",)))
    for number, event in enumerate(events):
        made.apply(Recorded("control", number + 1, NOON + number, "", event))
    return made


def kept(*events: Event) -> Keeping | None:
    made = account(*events)
    return keeping_of(made, made.standing())


def gone(*paths: str, number: int = 0, why: str = "retention") -> FilesRemoved:
    files = tuple(RemovedFile(path) for path in paths)
    return FilesRemoved(STUDY, number, why, NOON, files, "anna")  # type: ignore[arg-type]


def test_in_progress_keeps_everything_however_old() -> None:
    delayed = DeliveryDelayed(STUDY, JOB.job_id, UID, "pacs", 1, "away", NOON)
    for events in ([a_stored(IMAGE)], MADE[:2], MADE[:3], [*MADE[:3], JobStarted(STUDY, JOB.job_id)],
                   MADE, [*MADE, delayed], [*MADE, SENT, ASKED]):  # fmt: skip
        assert kept(*events) is None


def test_what_is_delivered_counts_from_the_last_thing_that_happened() -> None:
    keeping = kept(*MADE, SENT)
    assert keeping == Keeping(NOON + 4.0, is_failure=False)
    assert not keeping.may_go(NOON + 13.9, 10.0)
    assert keeping.may_go(NOON + 14.0, 10.0)
    promised = Committed(STUDY, JOB.job_id, UID, "pacs", "2.25.7")
    assert kept(*MADE, SENT, ASKED, promised) == Keeping(NOON + 6.0, is_failure=False)


def test_failures_are_kept_three_times_as_long() -> None:
    dead = DeadLettered(STUDY, JOB.job_id, UID, "pacs", 1, "refused")
    refused = CommitmentFailed(STUDY, JOB.job_id, UID, "pacs", "2.25.7", 0x0112, "not here")
    unkept = replace(dead, again=1, attempt=2)
    listed = InstanceListed(
        STUDY, IMAGE.sop_instance_uid, IMAGE.sha256, ListedReason.UNREADABLE, ""
    )
    for events in ([*MADE, dead], [*MADE, SENT, ASKED, refused, unkept], [a_stored(IMAGE), listed]):
        keeping = kept(*events)
        assert keeping is not None
        assert keeping.is_failure
        assert not keeping.may_go(keeping.settled_at + 2.9 * 10.0, 10.0)
        assert keeping.may_go(keeping.settled_at + FAILURES_FACTOR * 10.0, 10.0)


def test_what_no_model_wants_is_settled_and_no_failure() -> None:
    listed = InstanceListed(STUDY, IMAGE.sop_instance_uid, IMAGE.sha256, ListedReason.NO_MODEL, "")
    assert kept(a_stored(IMAGE), listed) == Keeping(NOON + 1.0, is_failure=False)


def test_what_is_removed_is_neither_kept_nor_removed_twice_in_whatever_order_rows_come() -> None:
    assert tuple(file.path for file in files_of(account(*MADE, SENT)))[:2] == ALL
    every = tuple(file.path for file in files_of(account(*MADE, SENT)))
    assert kept(*MADE, SENT, gone(*every)) is None
    assert kept(gone(*every), *reversed([*MADE, SENT]), gone(*every)) is None
    left = account(gone(IMAGE.path), *MADE, SENT)
    assert IMAGE.path not in [file.path for file in files_of(left)]


def test_an_image_that_came_again_after_a_removal_is_kept_anew() -> None:
    every = tuple(file.path for file in files_of(account(*MADE, SENT)))
    again = replace(a_stored(replace(IMAGE, path="instances/new.dcm")), again=1)
    made = account(*MADE, SENT, gone(*every), again)
    assert [file.path for file in files_of(made)] == ["instances/new.dcm"]
    job = made.placed_job(JOB.job_id)
    assert job is not None
    assert job.instances[0].path == "instances/new.dcm"


def test_what_cancelled_work_writes_after_an_erasure_goes_at_once() -> None:
    keeping = kept(*MADE, SENT, gone(IMAGE.path, why="erased"))
    assert keeping is not None
    assert keeping.may_go(NOON, 1e9)
