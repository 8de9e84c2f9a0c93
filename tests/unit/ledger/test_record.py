"""The writer: many threads, few transactions, and no waiter left behind."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_stored, an_attribution_record, an_instance
from fakes.clock import FakeClock
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Attributed
from lightbox.ledger.chain import genesis
from lightbox.ledger.prove import prove
from lightbox.ledger.record import Writer
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.tables import writing_engine
from lightbox.ledger.timeline import LedgerReader

TIMEOUT = 30


class GatedClock(FakeClock):
    """Holds the writer in its first transaction until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.fails = False

    def now(self) -> float:
        self.entered.set()
        assert self.gate.wait(TIMEOUT)
        if self.fails:
            raise OSError(5, "Input/output error")
        return super().now()


def await_queue(ledger: SqliteLedger, length: int) -> None:
    """Wait until so many requests wait behind the one that the clock holds."""
    waiting = ledger._writer._waiting
    for _ in range(TIMEOUT * 100):
        if waiting.qsize() == length:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{waiting.qsize()} requests wait, expected {length}")


def commits_of(ledger: SqliteLedger) -> list[str]:
    """Return a list that grows with each commit; call it before the first record."""
    found: list[str] = []
    with closing(ledger._engine.raw_connection()) as pooled:  # the one that the writer will get
        connection = pooled.driver_connection
        assert isinstance(connection, sqlite3.Connection)

        def note(statement: str) -> None:
            is_commit = statement == "COMMIT"
            if not connection.in_transaction:  # it commits by itself; its trigger is told of, too
                is_commit = statement.startswith("INSERT") and statement not in found
            if is_commit:
                found.append(statement)

        connection.set_trace_callback(note)
    return found


def start_waiters(
    ledger: SqliteLedger, clock: GatedClock, pool: ThreadPoolExecutor, count: int
) -> list[Callable[[], object]]:
    """Return the answers of ``count`` records, the first of which holds the writer."""
    answers: list[Callable[[], object]] = []
    answers.append(pool.submit(ledger.record, a_stored(an_instance("0"))).result)
    assert clock.entered.wait(TIMEOUT)
    answers += [
        pool.submit(ledger.record, a_stored(an_instance(str(n)))).result for n in range(1, count)
    ]
    await_queue(ledger, count - 1)
    return answers


def test_all_that_waits_goes_into_one_transaction(tmp_path: Path) -> None:
    clock = GatedClock()
    ledger = SqliteLedger(tmp_path, "receive", clock)
    commits = commits_of(ledger)
    with ThreadPoolExecutor(16) as pool:
        answers = start_waiters(ledger, clock, pool, 16)
        clock.gate.set()
        for answer in answers:
            answer()
    ledger.close()
    assert len(commits) == 2
    assert prove(tmp_path).rows == 16


def test_the_same_key_twice_within_one_batch_is_one_row(tmp_path: Path) -> None:
    clock = GatedClock()
    ledger = SqliteLedger(tmp_path, "receive", clock)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ledger.record, a_stored(an_instance("first")))
        assert clock.entered.wait(TIMEOUT)
        same = [pool.submit(ledger.record, a_stored(an_instance("same"))) for _ in range(3)]
        clock.gate.set()
        first.result(TIMEOUT)
        rows = {answer.result(TIMEOUT) for answer in same}
    ledger.close()
    assert len({row[0].sequence for row in rows}) == 1
    assert prove(tmp_path).rows == 2


def test_a_failing_writer_fails_every_waiter_and_stays_closed(tmp_path: Path) -> None:
    clock = GatedClock()
    clock.fails = True
    ledger = SqliteLedger(tmp_path, "receive", clock)
    with ThreadPoolExecutor(8) as pool:
        answers = start_waiters(ledger, clock, pool, 8)
        clock.gate.set()
        for answer in answers:
            with pytest.raises(LedgerError, match=r"could not be written: .*Input/output error"):
                answer()
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.record(a_stored(an_instance("later")))
    ledger.close()
    assert prove(tmp_path).rows == 0


def test_a_full_disk_fails_the_record_and_leaves_a_right_chain(tmp_path: Path) -> None:
    path = tmp_path / "receive.sqlite"
    SqliteLedger(tmp_path, "receive", FakeClock()).close()
    engine = writing_engine(path)
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    writer = Writer(engine, "receive", (0, genesis("receive")), FakeClock())
    with pytest.raises(LedgerError, match="full"):
        writer.record([a_stored(an_instance(str(n))) for n in range(200)])
    with pytest.raises(LedgerError, match="full"):
        writer.record([a_stored()])
    writer.close()
    engine.dispose()
    assert prove(tmp_path).rows == 0
    again = SqliteLedger(tmp_path, "receive", FakeClock())
    assert again.record(a_stored())[0].sequence == 1
    again.close()


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let nothing be opened, as where all descriptors are taken."""
    lowest = os.dup(0)
    os.close(lowest)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("count", [1, 200, 1500])
def test_a_batch_of_any_length_needs_no_other_file_than_the_chains(
    tmp_path: Path, count: int
) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    ledger.record(*[a_stored(an_instance(f"before-{n}")) for n in range(2000)])
    with no_more_files():
        ledger.record(*[a_stored(an_instance(str(n))) for n in range(count)])
    ledger.close()
    assert prove(tmp_path).rows == 2000 + count


def test_an_event_that_could_not_be_read_again_fails_its_caller_only(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "work", FakeClock())
    record = replace(an_attribution_record(), v_full=float("nan"))
    with pytest.raises(LedgerError, match="attributed"):
        ledger.record(Attributed("1.2.3", "job", record))
    assert ledger.record(a_stored())[0].sequence == 1
    ledger.close()


def test_text_of_any_kind_survives(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    odd = replace(an_instance(), path="a'\x00\"; DROP TABLE ledger; -- \u0416\U0001f4a1")
    (row,) = ledger.record(a_stored(odd))
    assert LedgerReader(tmp_path).since({}) == (row,)
    ledger.close()
    assert prove(tmp_path).ok


WRITE_FOR_EVER = """
import sys, threading, time
from pathlib import Path
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from builders import a_stored, an_instance
from fakes.clock import FakeClock
from lightbox.ledger.sqlite_ledger import SqliteLedger

ledger = SqliteLedger(Path(sys.argv[1]), "receive", FakeClock())
lock = threading.Lock()

def send(thread):
    n = 0
    while True:
        n += 1
        (row,) = ledger.record(a_stored(an_instance(f"{thread}-{n}")))
        with lock:
            print(row.sequence, row.digest, flush=True)

for thread in range(4):
    threading.Thread(target=send, args=(thread,)).start()
"""


def test_kill_nine_of_a_writer_leaves_every_acknowledged_row_in_a_right_chain(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "ledger"
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(folder), str(root / "tests")]
    command.append(str(root / "service"))
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().split() for _ in range(200)]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate(timeout=TIMEOUT)[0].splitlines()
    acknowledged += [line.split() for line in rest if len(line.split()) == 2]
    ledger = SqliteLedger(folder, "receive", FakeClock())
    ledger.record(a_stored(an_instance("after")))
    ledger.close()
    proof = prove(folder)
    assert proof.ok, proof.problems
    kept = {str(row.sequence): row.digest for row in LedgerReader(folder).since({})}
    assert all(kept[sequence].startswith(found) for sequence, found in acknowledged)
    assert len(kept) >= len(acknowledged)


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    clock = GatedClock()
    ledger = SqliteLedger(tmp_path, "receive", clock)
    with ThreadPoolExecutor(5) as pool:
        answers = start_waiters(ledger, clock, pool, 4)
        closing = pool.submit(ledger.close)
        await_queue(ledger, 4)
        clock.gate.set()
        closing.result(TIMEOUT)
        for answer in answers:
            answer()
    assert prove(tmp_path).rows == 4
    ledger.close()


def test_a_batch_is_bounded_and_the_rest_waits_for_the_next(tmp_path: Path) -> None:
    clock = GatedClock()
    ledger = SqliteLedger(tmp_path, "receive", clock)
    commits = commits_of(ledger)
    many = [a_stored(an_instance(f"many-{n}")) for n in range(2000)]
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(ledger.record, a_stored(an_instance("first")))
        assert clock.entered.wait(TIMEOUT)
        big = [pool.submit(ledger.record, *many[start::2]) for start in (0, 1)]
        await_queue(ledger, 2)
        last = pool.submit(ledger.record, a_stored(an_instance("last")))
        await_queue(ledger, 3)
        clock.gate.set()
        assert [row.sequence for row in first.result(TIMEOUT)] == [1]
        assert sum(len(rows.result(TIMEOUT)) for rows in big) == 2000
        assert last.result(TIMEOUT)[0].sequence == 2002
    ledger.close()
    assert len(commits) == 3
