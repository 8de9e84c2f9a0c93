"""The one writer of a chain: takes all that waits, one transaction, wakes the waiters.

There is no timer: while one transaction is being synced the next batch gathers by itself. What
cannot be written fails *every* waiter, and the writer stays closed: nobody may acknowledge what
might not be on disk, and a second sync that succeeds proves nothing about the first.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from lightbox import ports
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Event, Recorded, from_json, to_json
from lightbox.ledger.chain import Row, digest
from lightbox.ledger.tables import HEAD, ROWS, row_of

_MOST_ROWS = 2000
_MOST_KEYS = 500  # well under SQLite's limit of variables in one statement

# Made once: building a statement costs as much as running it.
_APPEND = insert(ROWS)
_FIND = select(ROWS).where(ROWS.c.key.in_(bindparam("keys", expanding=True)))
_MOVE_HEAD = (
    update(HEAD)
    .where(HEAD.c.chain == bindparam("of"))
    .values(sequence=bindparam("to"), digest=bindparam("seen"))
)


@dataclass(frozen=True, slots=True)
class _Entry:
    event: Event
    key: str
    study: str
    body: str


@dataclass(frozen=True, slots=True)
class _Request:
    entries: tuple[_Entry, ...]
    answer: Future[tuple[Row, ...]]


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
        request = _Request(entries, Future())
        with self._door:
            if self._closed is not None:
                raise self._closed
            self._waiting.put(request)

        def wait() -> tuple[Recorded, ...]:
            rows = request.answer.result()
            return tuple(self._recorded(e, r) for e, r in zip(entries, rows, strict=True))

        return wait

    def close(self) -> None:
        """Write what waits, then stop. A writer that failed is closed already."""
        with self._door:
            if self._closed is None:
                self._closed = self._refusal("is closed", "start the service again")
                self._waiting.put(None)
        self._thread.join()

    def _entry(self, event: Event) -> _Entry:
        try:
            body = to_json(event)
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
                    request.answer.set_result(rows)
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
            if not request.answer.done():
                request.answer.set_exception(refusal)

    def _write(self, batch: list[_Request]) -> list[tuple[Row, ...]]:
        entries = [entry for request in batch for entry in request.entries]
        with self._engine.begin() as connection:
            rows = _known(connection, entries)
            fresh = self._append(entries, rows)
            if fresh:
                last = fresh[-1]
                connection.execute(_APPEND, [_values(row) for row in fresh])
                head = {"of": self._chain, "to": last.sequence, "seen": last.digest}
                connection.execute(_MOVE_HEAD, head)
        if fresh:  # only now is it on disk
            self._sequence, self._digest = fresh[-1].sequence, fresh[-1].digest
        return [tuple(rows[entry.key] for entry in request.entries) for request in batch]

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


def _known(connection: Connection, entries: list[_Entry]) -> dict[str, Row]:
    keys = list({entry.key for entry in entries})
    rows: dict[str, Row] = {}
    for start in range(0, len(keys), _MOST_KEYS):
        wanted = {"keys": keys[start : start + _MOST_KEYS]}
        for found in connection.execute(_FIND, wanted):
            row = row_of(found)
            rows[row.key] = row
    return rows


def _values(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in Row.__slots__}
