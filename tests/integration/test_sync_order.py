"""What the kernel saw: file and row are synced, to their ends, before each answer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import raw_peer as raw
from raw_peer import RawPeer

PROGRAM = """
import sys, threading
from pathlib import Path
from lightbox.app.clock import SystemClock
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.receive.listener import Listener
from lightbox.receive.store import Store
from lightbox.settings import Dicom
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve
root, order = Path(sys.argv[1]), sys.argv[2]
clock = SystemClock()
ledger = SqliteLedger(root / "ledger", "receive", clock)
store = Store(root, Files(), ledger, clock, Reserve(root, 0), order=order)
listener = Listener(Dicom(port=0), store, ledger, clock, lambda seen: None)
listener.start()
print(listener.port, flush=True)
sys.stdin.read()
listener.drain(5.0)
store.close()
ledger.close()
"""
COUNT = 8
LINE = re.compile(r"^(?P<thread>\d+)\s+(?P<rest>.*)$")
BEGUN = re.compile(r"^(?P<call>\w+)\((?P<descriptor>\d+)<(?P<what>[^>]*)>")
RESUMED = re.compile(r"^<\.\.\. (?P<call>\w+) resumed>")


def traced(root: Path, order: str) -> list[str]:
    """Send some instances to a listener under strace; return what it wrote down."""
    log = root / "strace.log"
    command = ["strace", "-f", "-y", "-qq", "-o", str(log)]
    command += ["-e", "trace=fsync,fdatasync,sendto,sendmsg", sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(
        [*command, str(root / "data"), order],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with RawPeer(port) as peer:
            peer.associate()
            for number in range(COUNT):
                uid = f"1.2.3.{number}"
                assert peer.store(raw.data_set(uid), instance=uid) == 0
        process.communicate()
    assert process.returncode == 0
    return log.read_text().splitlines()


def moments(lines: list[str]) -> list[str]:
    """Return ends of syncs and beginnings of answers, in order."""
    found: list[str] = []
    waiting: dict[str, str] = {}
    for line in lines:
        parts = LINE.match(line)
        if parts is None:
            continue
        thread, rest = parts["thread"], parts["rest"]
        begun, resumed = BEGUN.match(rest), RESUMED.match(rest)
        if begun is not None and begun["call"].startswith("send"):
            if begun["what"].startswith("TCP") or "socket" in begun["what"]:
                found.append("answer")
        elif begun is not None and "unfinished" in rest:
            waiting[thread] = begun["what"]
        elif begun is not None or resumed is not None:
            what = begun["what"] if begun is not None else waiting.pop(thread, "")
            if rest.endswith("= 0"):
                found.append(kind(what))
    return [each for each in found if each]


def kind(path: str) -> str:
    if "/instances/" in path and path.endswith(".dcm"):
        return "file"
    return "row" if path.endswith("receive.sqlite-wal") else ""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("order", ["together", "in_turn"])
def test_each_answer_begins_after_both_syncs_have_ended(tmp_path: Path, order: str) -> None:
    seen = moments(traced(tmp_path, order))
    answers = [n for n, each in enumerate(seen) if each == "answer"]
    assert len(answers) >= COUNT + 1  # the association's, then one an instance
    for before, at in pairwise(answers[: COUNT + 1]):
        between = seen[before:at]
        assert {"file", "row"} <= set(between), (between, seen)
        if order == "in_turn":
            assert between.index("file") < max(n for n, e in enumerate(between) if e == "row")
