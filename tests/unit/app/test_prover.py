"""A proof runs in a process of its own and says how far it is; the service asks for one each day."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from builders import a_stored, an_instance
from fakes.clock import FakeClock
from lightbox.app.processes.prover import Prover, Proving
from lightbox.app.processes.self_proof import SelfProof
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


def damage(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "receive.sqlite")) as connection:
        connection.execute("UPDATE ledger SET at = at + 1 WHERE sequence = 7")
        connection.commit()


def test_before_the_first_there_is_none(folder: Path) -> None:
    assert Prover(folder, tuple, FakeClock()).state() == Proving()


def test_a_whole_ledger_is_proved_and_a_damaged_one_is_not(folder: Path) -> None:
    clock = FakeClock()
    prover = Prover(folder, tuple, clock)
    prover.start()
    prover.start()  # one runs: this begins none
    state = prover.state()
    assert (state.is_running, state.of, state.at) == (True, 30, clock.now())
    proof = ended(prover).proof
    assert proof is not None
    assert (proof["ok"], proof["accepted"]) == (True, 30)
    damage(folder)
    prover.start()
    proof = ended(prover).proof
    assert proof is not None
    assert proof["ok"] is False
    assert "sequence 7" in str(proof["problems"])


DAY = 86400.0


def test_each_day_the_service_tells_what_a_proof_found(folder: Path) -> None:
    clock = FakeClock()
    told: list[tuple[int, float]] = []
    prover = Prover(folder, tuple, clock)
    proofs = SelfProof(prover, DAY, lambda problems, at: told.append((problems, at)), clock)
    proofs.look()
    assert not prover.state().is_running, "the first one waits for the service to have settled"
    clock.advance(DAY)
    proofs.look()
    ended(prover)
    proofs.look()
    proofs.look()
    assert told == [(0, clock.now())]
    damage(folder)
    clock.advance(DAY)
    proofs.look()
    ended(prover)
    proofs.look()
    assert told[1][0] > 0


def test_what_a_person_asked_for_is_told_too_and_zero_asks_for_none(folder: Path) -> None:
    clock = FakeClock()
    told: list[int] = []
    prover = Prover(folder, tuple, clock)
    proofs = SelfProof(prover, 0.0, lambda problems, _: told.append(problems), clock)
    clock.advance(100 * DAY)
    proofs.look()
    assert prover.state() == Proving()
    prover.start()
    ended(prover)
    proofs.look()
    assert told == [0]


def test_a_proof_that_cannot_be_made_tells_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    told: list[int] = []
    prover = Prover(folder, tuple, clock)
    proofs = SelfProof(prover, 0.0, lambda problems, _: told.append(problems), clock)
    (folder / "receive.sqlite").write_bytes(b"no database")
    prover.start()
    assert "receive" in prover.state().trouble
    proofs.look()
    proofs.look()
    assert told == []
    assert caplog.text.count("the ledger was not proved") == 1
