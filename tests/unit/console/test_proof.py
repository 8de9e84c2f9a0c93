"""A proof that is asked for on a page runs in a process of its own, and says how far it is."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from builders import a_stored, an_instance
from fakes.clock import FakeClock
from lightbox.console.facts.proof import Prover
from lightbox.console.sources import Proving
from lightbox.ledger.sqlite_ledger import SqliteLedger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(SqliteLedger(tmp_path, "receive", FakeClock())) as ledger:
        ledger.record(*(a_stored(an_instance(str(n))) for n in range(30)))
    return tmp_path


def ended(prover: Prover, seconds: float = 60.0) -> Proving:
    nap = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if not prover.state().is_running:
            return prover.state()
        nap.wait(0.05)
    raise AssertionError("the proof did not end")


def test_before_the_first_there_is_none(folder: Path) -> None:
    assert Prover(folder, (), FakeClock()).state() == Proving()


def test_a_whole_ledger_is_proved_and_a_damaged_one_is_not(folder: Path) -> None:
    clock = FakeClock()
    prover = Prover(folder, (), clock)
    prover.start()
    prover.start()  # one runs: this begins none
    state = prover.state()
    assert (state.is_running, state.of, state.at) == (True, 30, clock.now())
    proof = ended(prover).proof
    assert proof is not None
    assert (proof["ok"], proof["accepted"]) == (True, 30)
    with closing(sqlite3.connect(folder / "receive.sqlite")) as connection:
        connection.execute("UPDATE ledger SET at = at + 1 WHERE sequence = 7")
        connection.commit()
    prover.start()
    proof = ended(prover).proof
    assert proof is not None
    assert proof["ok"] is False
    assert "sequence 7" in str(proof["problems"])
