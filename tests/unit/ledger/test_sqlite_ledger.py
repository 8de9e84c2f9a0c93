"""The ledger in SQLite files: the contract, opening, locking, readers beside a writer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_stored, an_instance
from contracts.ledger import LedgerContract
from fakes.clock import FakeClock
from lightbox.domain.errors import LedgerError
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import LedgerReader


class TestContract(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[SqliteLedger]:
        ledger = SqliteLedger(tmp_path / "ledger", "receive", FakeClock())
        yield ledger
        ledger.close()


def test_a_chain_goes_on_after_it_was_closed(tmp_path: Path) -> None:
    one = SqliteLedger(tmp_path, "receive", FakeClock())
    one.record(a_stored(an_instance("1")))
    one.close()
    two = SqliteLedger(tmp_path, "receive", FakeClock())
    (row,) = two.record(a_stored(an_instance("2")))
    assert row.sequence == 2
    two.close()


def test_a_reader_of_a_folder_that_does_not_exist_finds_nothing(tmp_path: Path) -> None:
    reader = LedgerReader(tmp_path / "none")
    assert reader.since({}) == ()
    assert reader.find("x") is None
    assert reader.heads() == {}


def test_a_reader_sees_a_chain_that_appears_later(tmp_path: Path) -> None:
    reader = LedgerReader(tmp_path)
    assert reader.since({}) == ()
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    (row,) = ledger.record(a_stored())
    assert reader.since({}) == (row,)
    assert reader.heads() == {"receive": row.digest}
    reader.close()
    ledger.close()


def test_recording_after_close_is_refused(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.record(a_stored())


def test_a_file_that_is_no_database_is_refused_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "receive.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match=r"receive.*ledger rebuild"):
        SqliteLedger(tmp_path, "receive", FakeClock())


def test_a_second_process_cannot_write_the_same_chain(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    program = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from fakes.clock import FakeClock\n"
        "from lightbox.ledger.sqlite_ledger import SqliteLedger\n"
        "SqliteLedger(Path(sys.argv[1]), sys.argv[4], FakeClock()).close()\n"
    )
    root = Path(__file__).parents[3]
    paths = [str(tmp_path), str(root / "tests"), str(root / "service")]
    same, other = (
        subprocess.run(
            [sys.executable, "-c", program, *paths, chain],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for chain in ("receive", "control")
    )
    assert "is being written by another process" in same.stderr
    assert other.returncode == 0
    ledger.close()


def test_a_second_writer_in_one_process_fails_before_it_forks_the_chain(tmp_path: Path) -> None:
    one = SqliteLedger(tmp_path, "receive", FakeClock())
    two = SqliteLedger(tmp_path, "receive", FakeClock())
    one.record(a_stored(an_instance("1")))
    with pytest.raises(LedgerError):
        two.record(a_stored(an_instance("2")))
    assert one.record(a_stored(an_instance("3")))[0].sequence == 2
    one.close()
    two.close()


def test_nobody_else_may_read_the_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    ledger = SqliteLedger(folder, "receive", FakeClock())
    ledger.record(a_stored())
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(modes) == {
        "receive.lock",
        "receive.sqlite",
        "receive.sqlite-shm",
        "receive.sqlite-wal",
    }
    assert set(modes.values()) == {0o600}
    ledger.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be opened"):
        SqliteLedger(tmp_path / "file" / "ledger", "receive", FakeClock())
