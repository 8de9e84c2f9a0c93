"""F1, F4: the kernel kills the listener, or refuses a sync, at the n-th call of a durable step."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import raw_peer as raw
from receiving import Receiver, names

COUNT = 20
CALLS = ("fsync", "fdatasync", "pwrite64", "write", "writev")
LARGE = raw.implicit(0x7FE00010, bytes(300_000))
"""What goes past the page cache, by write(2)."""
POINTS = int(os.environ.get("LIGHTBOX_CRASH_POINTS", "40"))
"""Crash points of each call, spread over all of a run."""
_CALLED = re.compile(r"^\d+\s+(\w+)\(", re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def strace(log: Path, *calls: str, inject: str = "") -> tuple[str, ...]:
    trace = ("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(calls)}")
    return (*trace, "-e", f"inject={calls[0]}:{inject}") if inject else trace


def calls_of_a_whole_run(folder: Path) -> Counter[str]:
    """Count each call from the start to the last of the instances."""
    folder.mkdir()
    receiver = Receiver(folder)
    receiver.start(*strace(folder / "calls.log", *CALLS))
    answered = receiver.send(names(COUNT), b"", LARGE)
    receiver.kill()
    assert len(answered) == COUNT
    return Counter(_CALLED.findall((folder / "calls.log").read_text()))


def killed_at(folder: Path, call: str, nth: int) -> int:
    """Be killed at this call; start again; return how many were acknowledged before."""
    folder.mkdir()
    receiver = Receiver(folder)
    receiver.start(*strace(folder / "s.log", call, inject=f"signal=KILL:when={nth}"))
    answered = receiver.send(names(COUNT), b"", LARGE)
    receiver.kill()
    with receiver:
        receiver.assert_kept(answered)
        code, proof, said = receiver.ledger("prove")
        assert (code, proof["unaccounted"]) == (0, 0), said
        assert receiver.send(names(COUNT), b"", LARGE) == names(COUNT)  # the sender comes back
        receiver.assert_kept(names(COUNT))
        files = {path for path in receiver.data.glob("instances/*/*") if path.stat().st_size}
        assert files == {receiver.data / e.instance.path for e in receiver.stored().values()}
    return len(answered)


@pytest.mark.parametrize(
    ("call", "nth"), [pytest.param("fsync", 12, marks=pytest.mark.slow), ("pwrite64", 60)]
)
def test_a_kill_by_the_kernel_at_a_durable_step_loses_nothing(
    tmp_path: Path, call: str, nth: int
) -> None:
    assert killed_at(tmp_path / "run", call, nth) < COUNT


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_a_kill_by_the_kernel_at_every_durable_step_loses_nothing(
    tmp_path: Path, call: str, figure: Callable[[str], None]
) -> None:
    calls = calls_of_a_whole_run(tmp_path / "counted")[call]
    assert calls
    points = range(1, calls + 1, max(1, calls // POINTS))
    answered = [killed_at(tmp_path / str(nth), call, nth) for nth in points]
    figure(f"{len(points)} of {calls} crash points, {sum(answered)} acknowledged, 0 lost")


@pytest.mark.parametrize(
    ("call", "nth"), [pytest.param("fsync", 14, marks=pytest.mark.slow), ("fdatasync", 12)]
)
def test_a_sync_that_fails_is_never_acknowledged(tmp_path: Path, call: str, nth: int) -> None:
    log = tmp_path / "s.log"
    receiver = Receiver(tmp_path / "run")
    receiver.start(*strace(log, call, inject=f"error=EIO:when={nth}"))
    answered = receiver.send(names(COUNT), b"", LARGE)
    receiver.kill()
    assert "EIO" in log.read_text()
    assert len(answered) < COUNT  # and from then on nothing is taken until a restart
    with receiver:
        receiver.assert_kept(answered)
        code, _, said = receiver.ledger("prove")
        assert code == 0, said
        assert receiver.send(names(COUNT), b"", LARGE) == names(COUNT)
