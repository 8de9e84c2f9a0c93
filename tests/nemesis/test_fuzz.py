"""F16: whatever arrives, the listener answers the next one, soon and within its memory."""

from __future__ import annotations

import os
import random
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import raw_peer as raw
from receiving import Receiver, names

CASES = int(os.environ.get("LIGHTBOX_FUZZ_CASES", "3000"))
SEED = int(os.environ.get("LIGHTBOX_FUZZ_SEED", "16"))
HANG = 5.0
MEMORY = 256 * 2**20
LENGTHS = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


def corpus() -> list[bytes]:
    """Return streams that are right: an echo, instances, an odd way to send each."""
    uid = names(1, "fuzz")[0]
    data = raw.data_set(uid, tail=raw.implicit(0x7FE00010, bytes(3000)))
    store = raw.pdv(3, 3, raw.c_store(instance=uid))
    request = raw.associate_rq(*raw.DEFAULT_CONTEXTS)
    release = raw.pdu(5, bytes(4))
    return [
        request + raw.p_data(raw.pdv(1, 3, raw.c_echo())) + release,
        request + raw.p_data(store) + raw.p_data(raw.pdv(3, 2, data)) + release,
        request + raw.p_data(store, raw.pdv(3, 0, data[:50]), raw.pdv(3, 2, data[50:])) + release,
        request + release,
    ]


def mutated(stream: bytes, draw: random.Random) -> bytes:
    """Return the stream with some of it changed."""
    found = bytearray(stream)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(found)) if found else 0
        match draw.randrange(6):
            case 0:
                found[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                found[at : at + 4] = struct.pack(">L", draw.choice(LENGTHS))
            case 2:
                found[at : at + 4] = struct.pack("<L", draw.choice(LENGTHS))
            case 3:
                del found[at:]
            case 4:
                found[at:at] = found[at : at + draw.randint(1, 200)]
            case _:
                del found[at : at + draw.randint(1, 50)]
    return bytes(found)


def swallowed(port: int, stream: bytes) -> bool:
    """Send it and end; say whether the other side ended, too, in time."""
    with socket.create_connection(("127.0.0.1", port), HANG) as line:
        try:
            line.sendall(stream)
            line.shutdown(socket.SHUT_WR)
            while line.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
    return True


def peak(pid: int) -> int:
    """Return the most memory that a process ever had, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.slow
def test_nothing_that_is_sent_stops_the_listener(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    draw, good = random.Random(SEED), corpus()
    began = time.monotonic()
    with Receiver(tmp_path / "site") as receiver:
        assert receiver.process is not None
        for case in range(CASES):
            stream = mutated(draw.choice(good), draw)
            assert swallowed(receiver.port, stream), (SEED, case, stream)
            if case % 25 == 0:
                assert receiver.echo() == 0, (SEED, case, stream)
        assert receiver.echo() == 0
        most = peak(receiver.process.pid)
        assert most < MEMORY
        code, _, said = receiver.ledger("check")
        assert code == 0, said
    took = time.monotonic() - began
    figure(f"{CASES} cases of seed {SEED}, {CASES / took:.0f} a second, {most / 2**20:.0f} MiB")
