"""F5: no room, or no inode, on a real file system of a few megabytes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import raw_peer as raw
from raw_peer import RawPeer
from receiving import Receiver, names

KEPT = 10
"""Instances that stay when room is made; the files made in advance take some of it."""

TAIL = raw.implicit(0x7FE00010, bytes(200_000))


@pytest.fixture(
    params=["size=24m,nr_inodes=50k", "size=512m,nr_inodes=1400"], ids=["bytes", "inodes"]
)
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with little room, mounted where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_refuses_before_it_is_full_and_heals_by_itself(small_disk: Path) -> None:
    with Receiver(small_disk / "site") as receiver:
        answered, refused = fill(receiver)
        assert answered
        assert refused == {0xA700}
        free = shutil.disk_usage(small_disk).free
        assert free > 500_000, "the reserve is for work that runs, not for what arrives"
        receiver.assert_kept(answered)
        make_room(receiver, answered)
        assert receiver.send(names(2, "2"), TAIL) == names(2, "2")
        code, _, said = receiver.ledger("prove")
        assert code == 0, said
    # Killed on a full disk, it starts again on a full disk.
    receiver.start()
    receiver.assert_kept([*answered[:KEPT], *names(2, "2")])
    receiver.kill()


def fill(receiver: Receiver) -> tuple[list[str], set[int]]:
    """Send until three in a row are refused; return what was accepted, and the other statuses."""
    answered: list[str] = []
    refused: list[int] = []
    with RawPeer(receiver.port) as peer:
        peer.associate()
        for uid in names(3000):
            status = peer.store(raw.data_set(uid, tail=TAIL), instance=uid)
            if status == 0:
                answered.append(uid)
            else:
                refused.append(status)
            if len(refused) == 3:
                break
    return answered, set(refused)


def make_room(receiver: Receiver, answered: list[str]) -> None:
    """Remove most of the instances, as retention would."""
    rows = receiver.stored()
    for uid in answered[KEPT:]:
        (receiver.data / rows[uid].instance.path).unlink()
