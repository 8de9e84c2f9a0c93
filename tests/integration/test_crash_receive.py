"""kill -9 at every durable step: what was acknowledged is there, what was not leaves nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import raw_peer as raw
from fakes.clock import FakeClock
from lightbox.domain.events import InstanceStored
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.receive.intake import Incoming
from lightbox.receive.store import Store
from lightbox.receive.stored_file import holds
from lightbox.storage.files import Files, Operation
from lightbox.storage.reserve import Reserve
from raw_peer import RawPeer

PROGRAM = """
import sys, threading
from pathlib import Path
from fakes.clock import FakeClock
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.receive.listener import Listener
from lightbox.receive.store import Store
from lightbox.settings import Dicom
from lightbox.storage.faults import FaultAt, kill
from lightbox.storage.files import Files, Operation
from lightbox.storage.reserve import Reserve
root, operation, nth = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
fault = FaultAt(Operation(operation), nth, kill) if nth else None
clock = FakeClock()
ledger = SqliteLedger(root / "ledger", "receive", clock)
store = Store(root, Files(fault), ledger, clock, Reserve(root, 0))
listener = Listener(Dicom(port=0), store, ledger, clock, lambda seen: None)
listener.start()
print(listener.port, flush=True)
threading.Event().wait()
"""
TAIL = raw.implicit(0x7FE00010, bytes(50_000))
COUNT = 40


@contextmanager
def service(root: Path, operation: str, nth: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the listener in a process that dies at the n-th call of an operation."""
    paths = os.pathsep.join(("service", "tests"))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), operation, str(nth)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            yield process, int(line) if line else 0
        finally:
            process.kill()


def uid(number: int) -> str:
    return f"1.2.3.4.{number}"


def data_set(number: int) -> bytes:
    return raw.data_set(uid(number), tail=TAIL)


def send(port: int, *, kill: subprocess.Popen[str] | None = None, after: int = -1) -> list[int]:
    """Send until the service is gone; return the numbers that were acknowledged."""
    acknowledged: list[int] = []
    try:
        with RawPeer(port) as peer:
            peer.associate()
            for number in range(COUNT):
                if peer.store(data_set(number), instance=uid(number)) == 0:
                    acknowledged.append(number)
                if kill is not None and number == after:
                    kill.send_signal(signal.SIGKILL)
    except OSError:
        return acknowledged
    return acknowledged


def check(root: Path, acknowledged: list[int]) -> None:
    """Start again, and prove that nothing acknowledged is lost and nothing else is left."""
    clock = FakeClock()
    ledger = SqliteLedger(root / "ledger", "receive", clock)
    store = Store(root, Files(), ledger, clock, Reserve(root, 0))
    store.close()
    for number in acknowledged:
        sha256 = hashlib.sha256(data_set(number)).hexdigest()
        row = ledger.find(f"instance_stored:{uid(number)}:{sha256}")
        assert row is not None, number
        assert isinstance(row.event, InstanceStored)
        assert holds(root / row.event.instance.path, row.event.instance), number
    rows = [r.event for r in ledger.since({}) if isinstance(r.event, InstanceStored)]
    assert set(root.glob("instances/*/*")) == {root / e.instance.path for e in rows}
    again = Store(root, Files(), ledger, clock, Reserve(root, 0))
    for number in range(COUNT):  # the sender comes back with all of them
        intake = again.accept(
            Incoming(raw.CT_IMAGE, uid(number), raw.IMPLICIT, "RAW", "LIGHTBOX", "127.0.0.1", "b")
        )
        intake.add(memoryview(data_set(number)))
        intake.finish()
        intake.close()
    again.close()
    rows = [r.event for r in ledger.since({}) if isinstance(r.event, InstanceStored)]
    assert sorted(e.instance.sop_instance_uid for e in rows) == sorted(map(uid, range(COUNT)))
    ledger.close()


@pytest.mark.parametrize(
    ("operation", "nth"),
    [
        (Operation.CREATE, 3),
        (Operation.SYNC_FOLDER, 2),
        (Operation.WRITE, 1),
        (Operation.WRITE, 17),
        (Operation.SYNC, 1),
        (Operation.SYNC, 17),
    ],
)
def test_a_kill_at_a_durable_step_loses_nothing(
    tmp_path: Path, operation: Operation, nth: int
) -> None:
    with service(tmp_path, operation, nth) as (process, port):
        acknowledged = send(port) if port else []
        assert process.wait(30) == -signal.SIGKILL
    check(tmp_path, acknowledged)


@pytest.mark.parametrize("after", [0, 11])
def test_a_kill_at_any_other_moment_loses_nothing(tmp_path: Path, after: int) -> None:
    with service(tmp_path, "sync", 0) as (process, port):
        acknowledged = send(port, kill=process, after=after)
    assert len(acknowledged) > after
    check(tmp_path, acknowledged)
