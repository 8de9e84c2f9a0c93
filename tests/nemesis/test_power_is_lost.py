"""F2: the power goes at any moment of a live run; what no sync had ended for is gone or torn."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import raw_peer as raw
from kernel_log import CALLS, Disk, Operation, operations
from lightbox.app.clock import SystemClock
from lightbox.domain.events import InstanceStored, InstanceTorn
from lightbox.ledger.prove import prove
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.receive.store import Store
from lightbox.receive.stored_file import holds
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve
from receiving import Receiver, names

COUNT = 30
SCHEDULES = int(os.environ.get("LIGHTBOX_POWER_LOSSES", "200"))
SEED = 2
TAILS = [raw.implicit(0x7FE00010, bytes(range(256)) * length) for length in (40, 30, 1_200, 20)]
"""Of instances that go through the page cache, and of one in four that goes past it."""

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.slow,
]


def a_live_run(folder: Path) -> list[Operation]:
    """Receive under strace; return all that was asked of the disk, and each answer."""
    log = folder / "kernel.log"
    receiver = Receiver(folder / "site")
    receiver.start(
        "strace", "-f", "-yy", "-xx", "-qq", "-s", "400000", "-o", str(log), "-e", f"trace={CALLS}"
    )
    answered = receiver.send(names(COUNT), *TAILS)
    receiver.kill()
    assert len(answered) == COUNT
    return list(operations(log, receiver.data))


def answered_before(run: list[Operation], cut: int) -> int:
    """Return how many instances were answered before a moment.

    The first answer accepts the association, the last one its release.
    """
    answers = sum(operation.call == "answer" for operation in run[:cut]) - 1
    return min(max(answers, 0), COUNT)


def restarted(root: Path, acknowledged: list[str]) -> None:
    """Start on what is left; fail unless all that was acknowledged is there, and it proves."""
    clock = SystemClock()
    with closing(SqliteLedger(root / "ledger", "receive", clock)) as ledger:
        Store(root, Files(), ledger, clock, Reserve(root, 0)).close()
        rows = [row.event for row in ledger.since({})]
        torn = {e.key for e in rows if isinstance(e, InstanceTorn)}
        stored = [e for e in rows if isinstance(e, InstanceStored)]
        kept = {
            e.instance.sop_instance_uid: e for e in stored if InstanceTorn.of(e).key not in torn
        }
        for uid in acknowledged:
            assert uid in kept, uid
        for event in kept.values():
            assert holds(root / event.instance.path, event.instance)
    proof = prove(root / "ledger")
    assert proof.ok, proof.problems


def test_what_was_acknowledged_survives_a_power_loss_at_any_moment(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    run = a_live_run(tmp_path)
    assert answered_before(run, len(run)) == COUNT
    draw = random.Random(SEED)
    acknowledged = 0
    for schedule in range(SCHEDULES):
        cut = draw.randrange(len(run))
        disk, root = Disk(), tmp_path / f"after{schedule}"
        for operation in run[:cut]:
            disk.take(operation)
        disk.lose_power(root, draw)
        count = answered_before(run, cut)
        if not count and not (root / "ledger").exists():
            continue
        restarted(root, names(COUNT)[:count])
        acknowledged += count
        shutil.rmtree(root)
    assert acknowledged
    figure(f"{SCHEDULES} losses in {len(run)} calls, {acknowledged} acknowledged, 0 lost")


def test_a_disk_that_forgets_a_sync_would_be_seen(tmp_path: Path) -> None:
    """The test above can fail: without the syncs of files or of rows something is missing."""
    run = a_live_run(tmp_path)
    for forgotten in (".dcm", "-wal"):
        lossy = [
            each
            for each in run
            if not (each.call in {"fsync", "fdatasync"} and each.path.endswith(forgotten))
        ]
        with pytest.raises(AssertionError):
            lost_at_the_end(lossy, tmp_path / f"without{forgotten}")


def lost_at_the_end(run: list[Operation], folder: Path) -> None:
    """Lose the power after the last answer, twenty times over."""
    for seed in range(20):
        disk, root = Disk(), folder / str(seed)
        for operation in run:
            disk.take(operation)
        disk.lose_power(root, random.Random(seed))
        restarted(root, names(COUNT))
