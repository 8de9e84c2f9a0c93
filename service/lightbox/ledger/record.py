"""The one writer of a chain: takes all that waits, one transaction, wakes the waiters.

There is no timer: while one transaction is being synced the next batch gathers by itself. What
cannot be written fails *every* waiter, and the writer stays closed: nobody may acknowledge what
might not be on disk, and a second sync that succeeds proves nothing about the first.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain

from sqlalchemy import Engine
from sqlalchemy.pool import PoolProxiedConnection

from lightbox import ports
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Event, InstanceStored, Recorded, from_json, to_json
from lightbox.ledger.chain import Row, digest
from lightbox.ledger.tables import row_of

_MOST_ROWS = 2000

# By hand: every acknowledged instance waits for these, and SQLAlchemy takes longer than SQLite.
_FIND = "SELECT sequence, at, key, study, body, digest FROM ledger WHERE key = ?"
_APPEND = "INSERT INTO ledger (sequence, at, key, study, body, digest) VALUES "
_ROW = "(?, ?, ?, ?, ?, ?)"
_CHECKED = (InstanceStored,)  # texts, counts and the clock's time; and a sender waits for each
_ROWS_AT_ONCE = 500  # SQLite takes 32,766 values in a statement
_IN_MEMORY = "PRAGMA temp_store = MEMORY"  # a batch must not fail for want of room in /tmp
_MOVE_HEAD = (  # of this connection alone: whoever else opens the file finds two plain tables
    "CREATE TEMP TRIGGER move_head AFTER INSERT ON main.ledger BEGIN "
    "UPDATE head SET sequence = NEW.sequence, digest = NEW.digest; END"
)


@dataclass(frozen=True, slots=True)
class _Entry:
    event: Event
    key: str
    study: str
    body: str


class _Request:
    """Entries on their way to the disk; a lock that is held until they are there, or cannot be.

    A ``Future`` would do, at the price of a second lock and a second wake-up for each instance.
    """

    __slots__ = ("_error", "_pending", "_rows", "entries", "is_answered")

    def __init__(self, entries: tuple[_Entry, ...]) -> None:
        self.entries = entries
        self.is_answered = False
        self._rows: tuple[Row, ...] = ()
        self._error: LedgerError | None = None
        self._pending = threading.Lock()
        self._pending.acquire()

    def answer(self, rows: tuple[Row, ...], error: LedgerError | None = None) -> None:
        self._rows, self._error = rows, error
        self.is_answered = True
        self._pending.release()

    def wait(self) -> tuple[Row, ...]:
        with self._pending:
            if self._error is not None:
                raise self._error
            return self._rows


class Writer:
    """Appends to one chain, from any number of threads.

    Parameters
    ----------
    engine : Engine
        Of the chain's file, opened for writing; nobody else writes to it.
    chain : str
        Name of the chain.
    last : tuple of int and str
        Sequence and digest of the newest row.
    clock : Clock
        Says when a row is recorded.
    """

    def __init__(
        self, engine: Engine, chain: str, last: tuple[int, str], clock: ports.Clock
    ) -> None:
        self._engine = engine
        self._chain = chain
        self._sequence, self._digest = last
        self._clock = clock
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._closed: LedgerError | None = None
        self._door = threading.Lock()
        self._connection: PoolProxiedConnection | None = None
        self._thread = threading.Thread(target=self._serve, name=f"ledger-{chain}", daemon=True)
        self._thread.start()

    def record(self, events: Iterable[Event]) -> tuple[Recorded, ...]:
        """Append and wait until the rows are on disk; known keys give their old rows.

        Raises
        ------
        LedgerError
            If they could not be written; the writer is closed then. Also if an event could not
            be read again; that fails nobody else.
        """
        return self.begin(events)()

    def begin(self, events: Iterable[Event]) -> Callable[[], tuple[Recorded, ...]]:
        """Begin to append; what is returned waits as :meth:`record` does, and raises as it does."""
        entries = tuple(self._entry(event) for event in events)
        if not entries:
            return tuple
        request = _Request(entries)
        with self._door:
            if self._closed is not None:
                raise self._closed
            self._waiting.put(request)

        def wait() -> tuple[Recorded, ...]:
            rows = request.wait()
            return tuple(self._recorded(e, r) for e, r in zip(entries, rows, strict=True))

        return wait

    def close(self) -> None:
        """Write what waits, then stop. A writer that failed is closed already."""
        with self._door:
            if self._closed is None:
                self._closed = self._refusal("is closed", "start the service again")
                self._waiting.put(None)
        self._thread.join()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _entry(self, event: Event) -> _Entry:
        try:
            body = to_json(event)
            if not isinstance(event, _CHECKED):
                from_json(body)  # a row that nobody can read would stop every reader (NaN, for one)
        except ValueError as error:
            reason = f"an event {event.kind} cannot be written so that it can be read again"
            raise self._refusal(reason, "report it: a value is not what its type says") from error
        return _Entry(event, event.key, event.study, body)

    def _recorded(self, entry: _Entry, row: Row) -> Recorded:
        event = entry.event if row.body == entry.body else from_json(row.body)
        return Recorded(self._chain, row.sequence, row.at, row.digest, event)

    def _serve(self) -> None:
        batch: list[_Request] = []
        try:
            while (first := self._waiting.get()) is not None:
                batch = [first]
                more = self._gather(batch)
                answers = self._write(batch)
                for request, rows in zip(batch, answers, strict=True):
                    request.answer(rows)
                batch = []
                if not more:
                    return
        except BaseException as error:  # noqa: BLE001  # whatever it was, nobody may go on waiting
            self._fail(batch, error)

    def _gather(self, batch: list[_Request]) -> bool:
        rows = len(batch[0].entries)
        while rows < _MOST_ROWS:
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                return True
            if request is None:
                return False
            batch.append(request)
            rows += len(request.entries)
        return True

    def _fail(self, batch: list[_Request], error: BaseException) -> None:
        refusal = self._refusal(
            f"could not be written: {getattr(error, 'orig', error)}",
            "make room or mend the disk, then start the service again",
        )
        refusal.__cause__ = error
        with self._door:
            self._closed = refusal
        while True:
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                break
            if request is not None:
                batch.append(request)
        for request in batch:
            if not request.is_answered:
                request.answer((), refusal)

    def _write(self, batch: list[_Request]) -> list[tuple[Row, ...]]:
        entries = [entry for request in batch for entry in request.entries]
        try:
            rows, fresh = self._commit(entries, _nothing_known)
        except sqlite3.IntegrityError:  # a key is known: that is rare, and asked for only then
            rows, fresh = self._commit(entries, _known)
        if fresh:  # only now is it on disk
            self._sequence, self._digest = fresh[-1].sequence, fresh[-1].digest
        return [tuple(rows[entry.key] for entry in request.entries) for request in batch]

    def _commit(
        self,
        entries: list[_Entry],
        known: Callable[[sqlite3.Connection, list[_Entry]], dict[str, Row]],
    ) -> tuple[dict[str, Row], list[Row]]:
        """Append what is not known, all of it or nothing; return all rows by key, and the new."""
        connection = self._writing()
        rows = known(connection, entries)
        fresh = self._append(entries, rows)
        parts = [fresh[at : at + _ROWS_AT_ONCE] for at in range(0, len(fresh), _ROWS_AT_ONCE)]
        if len(parts) == 1:  # it is its own transaction: each more step fights for the interpreter
            _insert(connection, parts[0])
        elif parts:
            with _transaction(connection):
                for part in parts:
                    _insert(connection, part)
        return rows, fresh

    def _writing(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            for once in (_IN_MEMORY, _MOVE_HEAD):
                self._connection.cursor().execute(once)
        connection = self._connection.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def _append(self, entries: list[_Entry], rows: dict[str, Row]) -> list[Row]:
        fresh: list[Row] = []
        at = self._clock.now()
        sequence, previous = self._sequence, self._digest
        for entry in entries:
            if entry.key in rows:
                continue
            sequence += 1
            previous = digest(previous, sequence, at, (entry.key, entry.study, entry.body))
            row = Row(sequence, at, entry.key, entry.study, entry.body, previous)
            rows[entry.key] = row
            fresh.append(row)
        return fresh

    def _refusal(self, reason: str, mend: str) -> LedgerError:
        return LedgerError(f"ledger chain {self._chain}", reason, mend)


def _nothing_known(_: sqlite3.Connection, _entries: list[_Entry]) -> dict[str, Row]:
    return {}


def _known(connection: sqlite3.Connection, entries: list[_Entry]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for key in {entry.key for entry in entries}:
        found = connection.execute(_FIND, (key,)).fetchone()
        if found is not None:
            rows[key] = row_of(found)
    return rows


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end of the block; whatever goes wrong, nothing of it is written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error is the one that tells
            connection.execute("ROLLBACK")
        raise


def _insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    connection.execute(_APPEND + ", ".join([_ROW] * len(rows)), [*chain.from_iterable(rows)])
