from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from builders import a_stored
from fakes.clock import FakeClock
from lightbox.app.clock import SystemClock
from lightbox.app.processes.self_proof import SelfProof
from lightbox.ledger.sqlite_ledger import SqliteLedger

DAY = 86400.0


class Told:
    """What a proof told, as the metrics get it."""

    def __init__(self) -> None:
        self.said: list[tuple[int, float]] = []

    def __call__(self, problems: int, now: float) -> None:
        self.said.append((problems, now))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site with one accepted instance."""
    ledger = SqliteLedger(tmp_path / "data" / "ledger", "receive", SystemClock())
    ledger.record(a_stored())
    ledger.close()
    file = tmp_path / "lightbox.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    return file


def edit_a_row(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE ledger SET at = at + 1 WHERE sequence = 1")


def proven(proofs: SelfProof, clock: FakeClock, told: Told, times: int) -> None:
    """Let a proof begin and wait for its end."""
    clock.advance(DAY)
    proofs.look()
    child = proofs._child
    assert child is not None
    child.wait(60)
    proofs.look()
    assert len(told.said) == times


def test_a_ledger_that_proves_has_no_mismatch_until_a_row_is_edited(config: Path) -> None:
    clock, told = FakeClock(), Told()
    proofs = SelfProof(("-c", str(config)), DAY, told, clock)
    proofs.look()
    assert proofs._child is None, "the first one waits for the service to have settled"
    proven(proofs, clock, told, 1)
    assert told.said == [(0, clock.now())]
    edit_a_row(config.parent / "data" / "ledger" / "receive.sqlite")
    proven(proofs, clock, told, 2)
    assert told.said[1][0] > 0
    proofs.close()


def test_a_proof_that_cannot_be_made_tells_nothing(
    config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.write_text("data_dir = 7\n")
    clock, told = FakeClock(), Told()
    proofs = SelfProof(("-c", str(config)), DAY, told, clock)
    proven(proofs, clock, told, 0)
    proofs.close()


def test_closing_ends_a_proof_under_way_and_zero_asks_for_none(config: Path) -> None:
    clock, told = FakeClock(), Told()
    never = SelfProof(("-c", str(config)), 0.0, told, clock)
    clock.advance(100 * DAY)
    never.look()
    assert never._child is None
    proofs = SelfProof(("-c", str(config)), DAY, told, clock)
    clock.advance(DAY)
    proofs.look()
    child = proofs._child
    assert child is not None
    proofs.close()
    assert child.returncode is not None
