"""Files go after their row, a few at a time, and never those of anything in progress."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOON, a_job, a_result, a_stored, a_written, an_arrival, an_instance
from fakes.clock import FakeClock
from lightbox.app.operate.retention import Retention
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Delivered, Event, FilesRemoved, JobPlaced
from lightbox.domain.study import Instance
from lightbox.domain.study_account import Expectations
from lightbox.ledger.prove import prove
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.storage.faults import FaultAt, fail
from lightbox.storage.files import Files, Operation

DAY = 86400.0


class Place:
    """A data directory with a ledger; what is recorded as stored is on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock(NOON)
        self.ledger = SqliteLedger(root / "ledger", "control", self.clock)
        self.records = ReadModel(root / "ledger", Expectations(("pacs",)))
        self.retention = self.made(Files())

    def made(self, files: Files, keep: float = DAY) -> Retention:
        return Retention(
            root=self.root, values=self.root / "jobs", ledger=self.ledger, records=self.records,
            files=files, alone=threading.Lock(), clock=self.clock, keep=keep, at_least=60.0,
        )  # fmt: skip

    def put(self, path: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x")
        return target

    def study(self, name: str, *, sent: bool) -> list[Path]:
        image = replace(an_instance(name, study=f"1.2.{name}"), path=f"instances/{name}.dcm")
        job = a_job(image)
        result = a_result(job)
        events: list[Event] = [a_stored(image, an_arrival()), JobPlaced(job), a_written(job)]
        if sent:
            uid = result.sop_instance_uid
            events.append(Delivered(image.study_instance_uid, job.job_id, uid, "pacs", 1))
        self.ledger.record(*events)
        names = [image.path, result.path, f"jobs/{job.job_id}.values"]
        return [self.put(each) for each in (*names, *filter(None, [result.preview]))]

    def look(self, times: int = 5) -> None:
        for _ in range(times):
            self.clock.advance(61.0)
            self.records.close()
            self.records = ReadModel(self.root / "ledger", Expectations(("pacs",)))
            self.retention._records = self.records
            self.retention.look()

    def removed(self) -> list[FilesRemoved]:
        rows = self.ledger.since({})
        return [row.event for row in rows if isinstance(row.event, FilesRemoved)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.records.close()
    made.ledger.close()


def test_a_delivered_study_goes_when_it_is_old_enough_and_the_row_names_every_file(
    place: Place,
) -> None:
    files = place.study("1", sent=True)
    place.clock.advance(DAY - 600.0)
    place.look()
    assert all(path.exists() for path in files)
    place.clock.advance(DAY)
    place.look()
    assert not any(path.exists() for path in files)
    (row,) = place.removed()
    assert {each.path for each in row.files} == {
        path.relative_to(place.root).as_posix() for path in files
    }
    assert (row.why, row.number, row.study) == ("retention", 0, "1.2.1")
    assert prove(place.root / "ledger", ["pacs"]).ok
    place.look()
    assert len(place.removed()) == 1


def test_a_study_in_progress_stays_however_old(place: Place) -> None:
    files = place.study("1", sent=False)
    place.clock.advance(1000 * DAY)
    place.look()
    assert all(path.exists() for path in files)
    assert place.removed() == []


def test_a_crash_between_row_and_unlink_is_finished_at_the_next_start(place: Place) -> None:
    files = place.study("1", sent=True)
    place.clock.advance(2 * DAY)
    place.retention = place.made(Files(FaultAt(Operation.UNLINK, 3, fail(5))))
    place.look(2)
    assert len(place.removed()) == 1
    assert any(path.exists() for path in files)
    after = place.made(Files())
    after.resume()
    assert not any(path.exists() for path in files)
    assert not (place.root / "removing").exists()


def test_a_note_without_its_row_removes_nothing(place: Place) -> None:
    files = place.study("1", sent=True)
    (place.root / "removing").write_text(FilesRemoved.key_of("1.2.1", 0))
    place.retention.resume()
    assert all(path.exists() for path in files)
    assert not (place.root / "removing").exists()


def test_without_its_row_nothing_is_unlinked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    files = place.study("1", sent=True)
    place.clock.advance(2 * DAY)

    def refuse(*_: Event) -> None:
        raise LedgerError("ledger", "the disk is full", "free some space")

    monkeypatch.setattr(place.ledger, "record", refuse)
    place.look()
    assert all(path.exists() for path in files)
    monkeypatch.undo()
    place.look()
    assert not any(path.exists() for path in files)


def test_a_path_that_leads_out_of_the_data_directory_is_left_alone(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("else") / "a.dcm"
    outside.write_bytes(b"x")
    image: Instance = replace(an_instance("1", study="1.2.1"), path=str(outside))
    job = a_job(image)
    uid = a_result(job).sop_instance_uid
    sent = Delivered("1.2.1", job.job_id, uid, "pacs", 1)
    place.ledger.record(a_stored(image), JobPlaced(job), a_written(job), sent)
    place.clock.advance(2 * DAY)
    place.look()
    assert outside.exists()
    assert len(place.removed()) == 1
