from __future__ import annotations

import errno
from pathlib import Path

import pytest

from contracts.storage import StorageContract
from lightbox.storage.faults import FaultAt, fail
from lightbox.storage.files import Files, Operation
from lightbox.storage.folder import FolderStorage


class Witness:
    """A fault that only watches."""

    def __init__(self) -> None:
        self.seen: list[Operation] = []

    def strike(self, operation: Operation) -> None:
        self.seen.append(operation)


class TestFolderStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> FolderStorage:
        return FolderStorage(tmp_path / "data", Files())


def test_nobody_else_can_read_what_is_stored(tmp_path: Path) -> None:
    FolderStorage(tmp_path / "data", Files()).put("results/20260101/x.dcm", b"content")
    folder = tmp_path / "data" / "results" / "20260101"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert (folder / "x.dcm").stat().st_mode & 0o777 == 0o600


def test_file_and_folder_are_synced_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    witness = Witness()
    FolderStorage(tmp_path, Files(witness)).put("a/x", b"content")
    assert witness.seen == [
        Operation.CREATE,
        Operation.WRITE,
        Operation.SYNC,
        Operation.RENAME,
        Operation.SYNC_FOLDER,
    ]


def test_what_a_killed_process_had_staged_is_tidied_away_and_nothing_else(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path, Files())
    storage.put("results/20260101/x.dcm", b"content")
    storage.stage("results/20260101/y.dcm", b"half of a job")
    elsewhere = storage.stage("explanations/z", b"of another process")
    storage.tidy("results")
    assert [path.name for path in (tmp_path / "results").rglob("*.*")] == ["x.dcm"]
    elsewhere.publish()
    assert storage.read("explanations/z") == b"of another process"
    storage.tidy("nowhere")


@pytest.mark.parametrize(
    "operation", [Operation.CREATE, Operation.WRITE, Operation.SYNC, Operation.RENAME]
)
def test_what_could_not_be_stored_leaves_nothing(tmp_path: Path, operation: Operation) -> None:
    files = Files(FaultAt(operation, 1, fail(errno.ENOSPC)))
    storage = FolderStorage(tmp_path, files)
    with pytest.raises(OSError, match="No space left"):
        storage.put("x", b"content")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_content(tmp_path: Path) -> None:
    FolderStorage(tmp_path, Files()).put("x", b"old")
    broken = FolderStorage(tmp_path, Files(FaultAt(Operation.SYNC, 1, fail())))
    with pytest.raises(OSError, match="Input/output error"):
        broken.put("x", b"new")
    assert broken.read("x") == b"old"
