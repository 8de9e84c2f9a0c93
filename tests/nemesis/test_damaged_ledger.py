"""F6: the ledger's file is locked, damaged or gone; it is rebuilt from what lies on the spool."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import raw_peer as raw
from raw_peer import RawPeer
from receiving import PATIENCE, Receiver, names

COUNT = 200


def overwritten(chain: Path) -> None:
    draw = random.Random(6)
    with chain.open("r+b") as file:
        for _ in range(12):
            file.seek(draw.randrange(8192, chain.stat().st_size - 600))
            file.write(draw.randbytes(600))


def no_database(chain: Path) -> None:
    with chain.open("r+b") as file:
        file.write(b"\xff" * 4096)


def truncated(chain: Path) -> None:
    os.truncate(chain, chain.stat().st_size // 3)


def deleted(chain: Path) -> None:
    for end in ("", "-wal", "-shm"):
        chain.with_name(chain.name + end).unlink(missing_ok=True)


@pytest.mark.parametrize(
    "damage",
    [
        overwritten,
        pytest.param(no_database, marks=pytest.mark.slow),
        pytest.param(truncated, marks=pytest.mark.slow),
        pytest.param(deleted, marks=pytest.mark.slow),
    ],
)
def test_a_damaged_ledger_is_rebuilt_and_nothing_acknowledged_is_lost(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with Receiver(tmp_path / "site") as receiver:
        answered = receiver.send(names(COUNT))
        assert len(answered) == COUNT
        assert receiver.stop() == 0
        damage(receiver.data / "ledger" / "receive.sqlite")
        code, proof, _ = receiver.ledger("prove")
        assert code == 1 or proof["rows"] == 0  # nobody else has seen this only chain
        receiver.start()  # damaged in its newest rows or lost: it says so and what mends it
        receiver.kill()
        code, rebuilt, said = receiver.ledger("rebuild")
        assert code == 0, said
        (row,) = rebuilt["rebuilt"]
        assert row["taken_over"] + row["taken_in"] + row["lost"] > 0
        receiver.start()
        receiver.assert_kept(answered)
        code, proof, said = receiver.ledger("check")
        assert (code, proof["accepted"]) == (0, COUNT), said
        assert "rebuilt by" in proof["breaks"][0]
        assert receiver.send(names(5, "2")) == names(5, "2")


@pytest.mark.slow
def test_a_lost_ledger_stops_the_start_and_the_error_names_the_mend(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "site")
    with receiver:
        receiver.send(names(3))
        receiver.stop()
    deleted(receiver.data / "ledger" / "receive.sqlite")
    receiver.start()
    assert receiver.process is not None
    assert receiver.process.wait(PATIENCE) == 1
    assert "lightbox ledger rebuild" in receiver.log.read_text().splitlines()[-1]


@pytest.mark.slow
def test_a_locked_ledger_answers_a700_in_time_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    with Receiver(tmp_path / "site") as receiver:
        first = receiver.send(names(3))
        chain = receiver.data / "ledger" / "receive.sqlite"
        with closing(sqlite3.connect(chain, isolation_level=None)) as thief:
            thief.execute("BEGIN IMMEDIATE")
            with RawPeer(receiver.port) as peer:
                peer.socket.settimeout(30.0)
                peer.associate()
                assert peer.store(raw.data_set("1.2.3.4.9"), instance="1.2.3.4.9") == 0xA700
        receiver.stop()
        receiver.start()
        receiver.assert_kept(first)
        assert receiver.send(names(3, "2")) == names(3, "2")
