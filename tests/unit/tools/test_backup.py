"""A second copy into the same place is what the data directory is now, not what it once was."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOON, a_stored, an_instance
from fakes.clock import FakeClock
from lightbox.app.operate.switch import Flag, Switch
from lightbox.domain.errors import UsageError
from lightbox.domain.events import FilesRemoved, RemovedFile, ServiceMarked
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.storage.files import Files
from lightbox.tools.backup import back_up


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "ledger").mkdir(parents=True)
    with closing(SqliteLedger(folder / "ledger", "control", FakeClock(NOON))) as ledger:
        ledger.record(ServiceMarked("control", "started", "0.2.0", NOON, {}))
    return folder


def test_what_was_resumed_is_not_stopped_in_the_next_copy(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    stopped = Switch(data, Files())
    stopped.prepare()
    flag = Flag("chest_xray", "anna", NOON)
    stopped.stop(flag)
    (data / "jobs").mkdir()
    (data / "jobs" / "a.values").write_bytes(b"1")
    back_up(data, copy, ())
    assert [flag.model for flag in Switch(copy, Files()).flags()] == ["chest_xray"]
    stopped.resume(replace(flag, at=NOON + 60))
    (data / "jobs" / "a.values").unlink()
    back_up(data, copy, ())
    assert not Switch(copy, Files()).flags()
    assert not list((copy / "jobs").iterdir())


def test_the_key_of_the_logs_goes_with_the_copy(data: Path, tmp_path: Path) -> None:
    """Else no line of before can be joined with one of after."""
    (data / "log.key").write_bytes(b"k" * 32)
    (data / "queue.sqlite").write_bytes(b"made again")
    back_up(data, tmp_path / "copy", ())
    assert (tmp_path / "copy" / "log.key").read_bytes() == b"k" * 32
    assert not (tmp_path / "copy" / "queue.sqlite").exists()


def test_what_was_erased_goes_from_the_copy_at_its_next_run(data: Path, tmp_path: Path) -> None:
    copy, instance = tmp_path / "copy", an_instance()
    image = data / instance.path
    image.parent.mkdir(parents=True)
    image.write_bytes(b"an image")
    with closing(SqliteLedger(data / "ledger", "receive", FakeClock(NOON))) as ledger:
        ledger.record(a_stored(instance))
    back_up(data, copy, ())
    assert (copy / instance.path).read_bytes() == b"an image"
    file = RemovedFile(instance.path, instance.sha256)
    removed = FilesRemoved(instance.study_instance_uid, 0, "erased", NOON, (file,), "anna", "asked")
    with closing(SqliteLedger(data / "ledger", "control", FakeClock(NOON))) as ledger:
        ledger.record(removed)
    back_up(data, copy, ())
    assert (copy / instance.path).exists(), "a file that still stands is not gone"
    image.unlink()
    back_up(data, copy, ())
    assert not (copy / instance.path).exists()


def test_a_folder_without_a_ledger_is_no_data_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no ledger"):
        back_up(tmp_path / "nothing", tmp_path / "copy", ())
