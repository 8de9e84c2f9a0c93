"""Readers over all chains of a folder. They never write and never block a writer.

A chain's file may appear at any time; a reader that finds none finds no rows.
"""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Select, select
from sqlalchemy import Row as SqlRow
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lightbox.domain.errors import LedgerError
from lightbox.domain.events import InstanceStored, Recorded, from_json
from lightbox.domain.study import Instance
from lightbox.ledger.chain import Row
from lightbox.ledger.tables import HEAD, ROWS, chain_files, reading_engine, row_of

_PAGE = 2000
_MOST_FOUND = 5
_MOST_STUDIES = 500  # well under SQLite's limit of variables in one statement
REBUILD = (
    "stop the service and run `lightbox ledger rebuild`: what can be read is kept, stored instances "
    "are taken in again, the damaged file is set aside"
)
"""What mends a damaged chain."""

_Rows: TypeAlias = Select[tuple[Any, ...]]


class LedgerReader:
    """Reads every chain of a folder, beside a running service or without one.

    Parameters
    ----------
    folder : Path
        Holds one file per chain; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def chains(self) -> tuple[str, ...]:
        """Return the names of the chains that exist now."""
        return tuple(chain_files(self._folder))

    def since(self, positions: Mapping[str, int]) -> tuple[Recorded, ...]:
        """Return all rows after these positions (chain → sequence), chains in time order."""
        return tuple(self.stream(positions))

    def stream(self, positions: Mapping[str, int] | None = None) -> Iterator[Recorded]:
        """Yield what :meth:`since` returns, a page at a time: for a ledger of any length.

        The order within a chain is kept even where its clock was set back.
        """
        after = positions or {}
        chains = [self._recorded(chain, after.get(chain, 0)) for chain in self.chains()]
        return heapq.merge(*chains, key=_time)

    def timeline(self, study_instance_uid: str) -> tuple[Recorded, ...]:
        """Return the events of one study from all chains, by time."""
        if not study_instance_uid:
            return ()
        return self._all(select(ROWS).where(ROWS.c.study == study_instance_uid))

    def timelines(self, studies: Collection[str]) -> tuple[Recorded, ...]:
        """Return the events of several studies, by time."""
        names = sorted(studies)
        return in_time_order(
            row
            for start in range(0, len(names), _MOST_STUDIES)
            for row in self._all(
                select(ROWS).where(ROWS.c.study.in_(names[start : start + _MOST_STUDIES]))
            )
        )

    def without_study(self, since: float) -> tuple[Recorded, ...]:
        """Return the rows of no study (associations, starts and stops) from this time on."""
        return self._all(select(ROWS).where(ROWS.c.study == "", ROWS.c.at >= since))

    def instances_of(self, sop_instance_uid: str) -> tuple[Instance, ...]:
        """Return what was accepted under a SOP Instance UID: one for each content that came."""
        prefix = f"instance_stored:{sop_instance_uid}:"
        wanted = ROWS.c.key.between(prefix, prefix + "\uffff")
        rows = self._all(select(ROWS).where(wanted))
        return tuple(row.event.instance for row in rows if isinstance(row.event, InstanceStored))

    def newest_first(self, chain: str) -> Iterator[Recorded]:
        """Yield the rows of a chain, the newest first."""
        before = 2**62
        while True:
            wanted = select(ROWS).where(ROWS.c.sequence < before)
            page = self._query(chain, wanted.order_by(ROWS.c.sequence.desc()).limit(_PAGE))
            yield from (recorded(chain, row) for row in page)
            if len(page) < _PAGE:
                return
            before = page[-1].sequence

    def row(self, chain: str, sequence: int) -> Row | None:
        """Return the row at a place, None where there is none."""
        if chain not in self.chains():
            return None
        return next(iter(self._query(chain, select(ROWS).where(ROWS.c.sequence == sequence))), None)

    def newest(self) -> Mapping[str, Row]:
        """Return each chain's newest row; chains without rows are left out."""
        last = select(ROWS).order_by(ROWS.c.sequence.desc()).limit(1)
        return {chain: row for chain in self.chains() for row in self._query(chain, last)}

    def last_sequences(self) -> Mapping[str, int]:
        """Return the sequence of each chain's newest row."""
        return {chain: row.sequence for chain, row in self.newest().items()}

    def studies_after(self, positions: Mapping[str, int]) -> frozenset[str]:
        """Return the studies that have rows after these positions (chain → sequence)."""
        found: set[str] = set()
        for chain in self.chains():
            after = ROWS.c.sequence > positions.get(chain, 0)
            wanted = select(ROWS.c.study).distinct().where(after, ROWS.c.study > "")
            with self._connection(chain) as connection:
                found.update(row[0] for row in _execute(connection, wanted))
        return frozenset(found)

    def find(self, key: str) -> Recorded | None:
        """Return the row with this key from any chain; the earliest where several have it."""
        wanted = select(ROWS).where(ROWS.c.key == key)
        found = [
            recorded(chain, row) for chain in self.chains() for row in self._query(chain, wanted)
        ]
        return min(found, key=_time, default=None)

    def heads(self) -> Mapping[str, str]:
        """Return the digest of each chain's newest row (chain → digest)."""
        return {chain: row.digest for chain, row in self.newest().items()}

    def rows(self, chain: str, after: int = 0) -> Iterator[Row]:
        """Yield the raw rows of a chain by sequence, without reading their events.

        Raises
        ------
        LedgerError
            If the file cannot be read.
        """
        while True:
            page = self._query(
                chain,
                select(ROWS).where(ROWS.c.sequence > after).order_by(ROWS.c.sequence).limit(_PAGE),
            )
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].sequence

    def stated_head(self, chain: str) -> tuple[int, str]:
        """Return sequence and digest of the newest row as the file states it beside the rows."""
        with self._connection(chain) as connection:
            for found in _execute(connection, select(HEAD)):
                if found.chain == chain:
                    return found.sequence, found.digest
        return 0, ""

    def anchors(self, chain: str) -> tuple[Row, ...]:
        """Return the rows of a chain that name the heads of other chains."""
        prefix = "service_marked:"
        marked = ROWS.c.key.between(prefix, prefix + "\uffff")
        return tuple(self._query(chain, select(ROWS).where(marked).order_by(ROWS.c.sequence)))

    def integrity(self, chain: str) -> tuple[str, ...]:
        """Return what SQLite finds wrong with pages and indexes of a chain's file."""
        with self._connection(chain) as connection:
            found = connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST_FOUND})")
            return tuple(row[0] for row in found if row[0] != "ok")

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()

    def _all(self, statement: _Rows) -> tuple[Recorded, ...]:
        return in_time_order(
            recorded(chain, row) for chain in self.chains() for row in self._query(chain, statement)
        )

    def _recorded(self, chain: str, after: int) -> Iterator[Recorded]:
        return (recorded(chain, row) for row in self.rows(chain, after))

    def _query(self, chain: str, statement: _Rows) -> list[Row]:
        with self._connection(chain) as connection:
            return [row_of(found) for found in _execute(connection, statement)]

    @contextmanager
    def _connection(self, chain: str) -> Iterator[Connection]:
        try:
            with self._engine(chain).connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unreadable(chain, error) from error

    def _engine(self, chain: str) -> Engine:
        with self._lock:
            if chain not in self._engines:
                self._engines[chain] = reading_engine(chain_files(self._folder)[chain])
            return self._engines[chain]


def in_time_order(rows: Iterable[Recorded]) -> tuple[Recorded, ...]:
    """Merge rows by time; within a chain the sequence decides, even where its clock went back."""
    chains: dict[str, list[Recorded]] = defaultdict(list)
    for row in sorted(rows, key=_sequence):
        chains[row.chain].append(row)
    return tuple(heapq.merge(*(chains[name] for name in sorted(chains)), key=_time))


def recorded(chain: str, row: Row) -> Recorded:
    """Read a row's event.

    Raises
    ------
    LedgerError
        If the row holds no event of ours.
    """
    try:
        happened = from_json(row.body)
    except ValueError as error:
        raise LedgerError(
            f"ledger chain {chain}, sequence {row.sequence}",
            "holds no event that this version knows",
            "run `lightbox ledger prove`; start the version that wrote it",
        ) from error
    return Recorded(chain, row.sequence, row.at, row.digest, happened)


def unreadable(chain: str, error: Exception) -> LedgerError:
    """Return the error for a file that SQLite cannot read or write."""
    cause = str(getattr(error, "orig", error))
    return LedgerError(
        f"ledger chain {chain}",
        f"cannot be read or written: {cause}",
        f"check disk and permissions; if it is damaged, {REBUILD}",
    )


def _execute(connection: Connection, statement: _Rows) -> list[SqlRow[Any]]:
    try:
        return list(connection.execute(statement))
    except OperationalError as error:
        if "no such table" in str(error.orig):  # its writer is making the file right now
            return []
        raise


def _time(row: Recorded) -> float:
    return row.at


def _sequence(row: Recorded) -> int:
    return row.sequence
