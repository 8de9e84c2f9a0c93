from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from lightbox.storage import naming
from lightbox.storage.faults import FaultAt, fail, wait
from lightbox.storage.files import Files, Operation
from lightbox.storage.pool import Pool
from lightbox.storage.reserve import Reserve

DAY = 86400.0


def test_more_parts_than_one_system_call_takes_are_written_in_order(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "x"
    parts = [bytes([i % 256]) * (i % 5) for i in range(5000)]
    descriptor = files.create(path)
    assert files.write(descriptor, parts) == sum(map(len, parts))
    files.close(descriptor)
    assert path.read_bytes() == b"".join(parts)


def test_a_file_that_exists_is_never_opened_again(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        Files().create(tmp_path / "x")


def test_a_sealed_file_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"precious")
    Files().seal(tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o400


def test_a_fault_strikes_at_the_nth_call_only(tmp_path: Path) -> None:
    files = Files(FaultAt(Operation.SYNC_FOLDER, 2, fail(errno.EIO)))
    files.sync_folder(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        files.sync_folder(tmp_path)
    files.sync_folder(tmp_path)


def test_a_lasting_fault_stays(tmp_path: Path) -> None:
    files = Files(FaultAt(Operation.SYNC_FOLDER, 2, fail(errno.ENOSPC), lasting=True))
    files.sync_folder(tmp_path)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            files.sync_folder(tmp_path)


def test_a_slow_disk_is_slow(tmp_path: Path) -> None:
    files = Files(FaultAt(Operation.SYNC_FOLDER, 1, wait(0.05)))
    began = time.monotonic()
    files.sync_folder(tmp_path)
    assert time.monotonic() - began >= 0.05


KILLED = """
import sys
from pathlib import Path
from lightbox.storage.faults import FaultAt, kill
from lightbox.storage.files import Files, Operation
folder = Path(sys.argv[1])
Files(FaultAt(Operation.RENAME, 1, kill)).rename(folder / "a", folder / "b")
"""


def test_a_kill_is_a_kill(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a").exists()


# ---- names


@given(st.floats(0, 4e9))
def test_names_of_instances_hold_nothing_but_the_day_and_our_token(now: float) -> None:
    folder, day, name = naming.instance_path(now).split("/")
    assert folder == "instances"
    assert len(day) == 8
    assert day.isdigit()
    assert name.endswith(".dcm")
    assert set(name[:-4]) <= set("0123456789abcdef")


def test_a_result_is_named_after_its_uid() -> None:
    assert naming.result_path(0.0, "2.25.1") == "results/19700101/2.25.1.dcm"


@pytest.mark.parametrize("uid", ["", "../x", "a", "1/2"])
def test_what_is_no_uid_names_no_result(uid: str) -> None:
    with pytest.raises(ValueError, match="no UID"):
        naming.result_path(0.0, uid)


# ---- reserve


def test_the_reserve_is_kept(tmp_path: Path) -> None:
    free = Reserve(tmp_path, 0).free_bytes()
    assert Reserve(tmp_path, 0).ok()
    assert Reserve(tmp_path, free // 2).ok()
    assert not Reserve(tmp_path, free * 2).ok()


# ---- pool


def test_blanks_have_their_folder_synced_before_they_are_handed_out(tmp_path: Path) -> None:
    seen: list[Operation] = []

    class Witness:
        def strike(self, operation: Operation) -> None:
            seen.append(operation)

    pool = Pool(tmp_path, Files(Witness()), FakeClock())
    blank = pool.take()
    assert Operation.SYNC_FOLDER in seen[seen.index(Operation.CREATE) :]
    assert (tmp_path / blank.path).stat().st_size == 0
    pool.discard(blank)
    pool.close()


def test_closing_the_pool_leaves_no_blank(tmp_path: Path) -> None:
    pool = Pool(tmp_path, Files(), FakeClock())
    pool.discard(pool.take())
    pool.close()
    assert list(tmp_path.glob("instances/*/*")) == []


def test_yesterdays_blanks_are_not_used_today(tmp_path: Path) -> None:
    clock = FakeClock()
    pool = Pool(tmp_path, Files(), clock)
    yesterday = pool.take()
    clock.advance(DAY)
    today = pool.take()
    assert today.day != yesterday.day
    assert naming.day(clock.now()) == today.day
    for blank in (yesterday, today):
        pool.discard(blank)
    pool.close()


def test_a_full_disk_shows_where_a_blank_is_taken(tmp_path: Path) -> None:
    pool = Pool(
        tmp_path, Files(FaultAt(Operation.CREATE, 1, fail(errno.ENOSPC), lasting=True)), FakeClock()
    )
    with pytest.raises(OSError, match="No space"):
        pool.take()
    pool.close()


def test_every_blank_is_handed_out_once(tmp_path: Path) -> None:
    pool = Pool(tmp_path, Files(), FakeClock())
    blanks = [pool.take() for _ in range(300)]
    assert len({blank.path for blank in blanks}) == 300
    for blank in blanks:
        os.close(blank.descriptor)
    pool.close()
