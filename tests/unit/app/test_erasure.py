"""A study is erased when nothing of it is in progress, and the ledger says who wanted it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOON, a_job, a_result, a_stored, a_written, an_instance
from fakes.clock import FakeClock
from lightbox.app.operate.erasure import Erasure
from lightbox.app.operate.retention import Retention
from lightbox.domain.errors import OperationError
from lightbox.domain.events import Delivered, Event, FilesRemoved, JobPlaced, JobStarted
from lightbox.domain.operations import Outcome, Request
from lightbox.domain.study_account import Expectations
from lightbox.ledger.prove import check
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.schedule.queues.memory import MemoryQueue
from lightbox.storage.files import Files

IMAGE = replace(an_instance("1"), path="instances/1.dcm")
STUDY, JOB = IMAGE.study_instance_uid, a_job(IMAGE)
RESULT = a_result(JOB)
UID = RESULT.sop_instance_uid
SENT = Delivered(STUDY, JOB.job_id, UID, "pacs", 1)


class Desk:
    """Erasure over a real ledger and a real folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock(NOON)
        self.ledger = SqliteLedger(root / "ledger", "control", self.clock)
        self.records = ReadModel(root / "ledger", Expectations(("pacs",)))
        self.retention = Retention(
            root=root, values=root / "jobs", ledger=self.ledger, records=self.records,
            files=Files(), alone=threading.Lock(), clock=self.clock, keep=1e6, at_least=60.0,
        )  # fmt: skip
        self.erasure = Erasure(self.ledger, self.records, MemoryQueue(1), self.retention)
        for path in (IMAGE.path, RESULT.path):
            (root / path).parent.mkdir(parents=True)
            (root / path).write_bytes(b"x")

    def ask(self, *, cancel: bool = False) -> Outcome:
        self.clock.advance(1.0)
        at = self.clock.now()
        asked = Request("erase", STUDY, "anna", at, detail="a wish", is_cancelling=cancel)
        return self.erasure.erase(asked)

    def left(self) -> list[str]:
        return [path for path in (IMAGE.path, RESULT.path) if (self.root / path).exists()]

    def removed(self) -> list[FilesRemoved]:
        rows = self.ledger.since({})
        return [row.event for row in rows if isinstance(row.event, FilesRemoved)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.records.close()
    made.ledger.close()


def test_an_erased_study_leaves_who_when_why_and_the_digests(desk: Desk) -> None:
    desk.ledger.record(a_stored(IMAGE), JobPlaced(JOB), a_written(JOB), SENT)
    done = desk.ask()
    assert (done.is_done, desk.left()) == (True, [])
    (row,) = desk.removed()
    assert (row.why, row.by, row.reason, row.at) == ("erased", "anna", "a wish", NOON + 1.0)
    assert {IMAGE.sha256, RESULT.sha256} <= {file.sha256 for file in row.files}
    assert row.key in done.lines[0]
    assert check(desk.root / "ledger", desk.root, ["pacs"]).ok
    assert desk.ask().lines == (f"{STUDY}: no file of it is left",)
    assert len(desk.removed()) == 1


@pytest.mark.parametrize(
    "events",
    [
        (a_stored(IMAGE),),
        (a_stored(IMAGE), JobPlaced(JOB)),
        (a_stored(IMAGE), JobPlaced(JOB), a_written(JOB)),
    ],
)
def test_work_in_progress_is_refused_unless_it_is_to_be_cancelled(
    desk: Desk, events: tuple[Event, ...]
) -> None:
    desk.ledger.record(*events)
    with pytest.raises(OperationError, match="in progress"):
        desk.ask()
    assert (len(desk.left()), desk.removed()) == (2, [])
    assert desk.ask(cancel=True).is_done
    assert not (desk.root / IMAGE.path).exists()
    account = desk.records.account_of((STUDY,))
    assert not any(each.verdict.is_open for each in account.instances())
    assert account.unplaced_jobs() == ()
    assert account.undelivered("pacs") == ()


def test_running_work_is_cancelled_first_and_what_it_still_writes_goes_at_the_next_look(
    desk: Desk,
) -> None:
    desk.ledger.record(a_stored(IMAGE), JobPlaced(JOB), JobStarted(STUDY, JOB.job_id))
    done = desk.ask(cancel=True)
    assert (done.is_done, len(desk.left()), desk.removed()) == (False, 2, [])
    assert desk.ask().is_done
    assert desk.left() == [RESULT.path]
    desk.ledger.record(a_written(JOB), SENT)
    for _ in range(4):
        desk.clock.advance(61.0)
        fresh = ReadModel(desk.root / "ledger", Expectations(("pacs",)))
        desk.retention._records = fresh
        desk.retention.look()
        fresh.close()
    assert desk.left() == []
    assert [(row.why, row.by) for row in desk.removed()] == [("erased", "anna")] * 2


def test_what_is_no_study_here_is_refused_in_words(desk: Desk) -> None:
    with pytest.raises(OperationError, match="no study that is known here"):
        desk.ask()
