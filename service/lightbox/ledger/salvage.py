"""What can still be read of a chain's file when its pages are damaged, and how much of it proves.

The beginning whose digests follow one another is kept as it is, digests and all. What can be read
behind the damage still says what happened, but nothing proves that it is all: it is taken over as
new rows behind a row that says so (``ChainRebuilt``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lightbox.domain.errors import LedgerError
from lightbox.domain.events import (
    ChainRebuilt,
    Event,
    InstanceStored,
    JobPlaced,
    ServiceMarked,
    StudyReady,
)
from lightbox.domain.study import Instance
from lightbox.ledger.bulk import NewChain
from lightbox.ledger.chain import Row, follows, genesis
from lightbox.ledger.read_model.tables import FILE, POSITIONS
from lightbox.ledger.tables import row_of
from lightbox.ledger.timeline import recorded

_COLUMNS = "SELECT sequence, at, key, study, body, digest FROM ledger WHERE sequence"
_FROM = f"{_COLUMNS} > ? ORDER BY sequence"
_AT = f"{_COLUMNS} = ?"
_STATED = "SELECT sequence FROM head WHERE chain = ?"
_LAID_OUT = f"SELECT sequence FROM {POSITIONS.name} WHERE chain = ?"  # noqa: S608  # our table
_SMALLEST = 128
"""Bytes that a row takes at least: a file holds no more rows than fit."""
_AT_ONCE = 2000
_NAME_INSTANCES = ("instance_stored:", "study_ready:", "job_placed:")


@dataclass(frozen=True, slots=True)
class Salvage:
    """How much of a damaged chain can be read.

    Attributes
    ----------
    kept : int
        Rows of its beginning that prove.
    behind : int
        Rows that can be read behind the first that does not.
    lost : int
        Rows that were there for certain and cannot be read.
    gone : tuple of str
        Digests that others have seen here, and that are none of the kept rows'.
    """

    kept: int
    behind: int
    lost: int
    gone: tuple[str, ...]


def readable_rows(file: Path) -> Iterator[Row]:
    """Yield every row that can be read, by sequence; what cannot is stepped over.

    Parameters
    ----------
    file : Path
        A copy of a chain's file, with its log beside it; nothing where it does not exist.
    """
    if not file.is_file() or not file.stat().st_size:
        return
    with closing(_opened(file)) as connection:
        try:
            connection.execute(f"EXPLAIN {_FROM}", (0,)).fetchall()
        except sqlite3.Error:  # no database, or one that does not even know its tables
            return
        last = -(2**62)
        most = file.stat().st_size // _SMALLEST
        while True:
            try:
                for found in connection.execute(_FROM, (last,)):
                    if found[0] > last:  # damaged pages may be out of order
                        last = found[0]
                        yield row_of(found)
            except sqlite3.Error:
                row = _next_readable(connection, max(last, 0), most)
                if row is None:
                    return
                last = row.sequence
                yield row
            else:
                return


def salvage(file: Path, chain: str, seen: Mapping[str, str], known: int) -> Salvage:
    """Look through a damaged chain.

    Parameters
    ----------
    file : Path
        As of :func:`readable_rows`.
    chain : str
        Its name.
    seen : mapping of str to str
        Digests that others have seen as its head (digest → who).
    known : int
        How far it had come, as :func:`last_known` says.
    """
    gone = dict.fromkeys(seen)
    kept = newest = 0
    for row, is_proven in _judged(file, chain):
        newest = max(newest, row.sequence)
        if is_proven:
            kept += 1
            gone.pop(row.digest, None)
    behind = sum(1 for _ in _behind(file, chain))
    newest = max(newest, known, _number(file, _STATED, chain))
    return Salvage(kept, behind, newest - kept - behind, tuple(gone))


def rewrite(file: Path, new: NewChain, chain: str, rebuilt: ChainRebuilt) -> None:
    """Write what :func:`salvage` found to a new chain, with the row that says so in between."""
    judged = _judged(file, chain)
    proven = (row for row, is_proven in judged if is_proven)
    while some := list(islice(proven, _AT_ONCE)):
        new.keep(some)
    new.extend([(rebuilt.at, rebuilt)])
    behind = ((row.at, event) for row, event in _behind(file, chain))
    while again := list(islice(behind, _AT_ONCE)):
        fresh = {event.key: (at, event) for at, event in again if not new.knows(event.key)}
        new.extend(fresh.values())


def anchors_in(file: Path, chain: str) -> Iterator[tuple[str, str]]:
    """Yield what a chain's readable rows have seen as the heads of chains: chain and digest."""
    for row in readable_rows(file):
        event = _event(chain, row) if str(row.key).startswith("service_marked:") else None
        if isinstance(event, ServiceMarked):
            yield from event.heads.items()


def instances_in(file: Path, chain: str) -> Iterator[tuple[Instance, float]]:
    """Yield the instances that the rows name which are taken over, and when each was received.

    What only a row names that is left out has to be taken in again, from its file.
    """
    for row, _ in _judged(file, chain):
        if not str(row.key).startswith(_NAME_INSTANCES):
            continue
        event = _event(chain, row)
        if isinstance(event, InstanceStored):
            yield event.instance, event.arrival.received_at
        elif isinstance(event, StudyReady):
            yield from ((each, event.received_at) for each in event.instances)
        elif isinstance(event, JobPlaced):
            yield from ((each, event.job.received_at) for each in event.job.instances)


def _judged(file: Path, chain: str) -> Iterator[tuple[Row, bool]]:
    """Yield readable rows, each with whether it and all before it prove.

    Behind the first that does not, a row that contradicts the row before it is left out.
    """
    is_proven, expected, previous = True, 1, genesis(chain)
    for row in readable_rows(file):
        is_next = row.sequence == expected
        is_right = _follows(row, previous)
        is_proven = is_proven and is_next and is_right
        if is_proven or is_right or not is_next:
            yield row, is_proven
        expected, previous = row.sequence + 1, row.digest


def _behind(file: Path, chain: str) -> Iterator[tuple[Row, Event]]:
    """Yield the rows behind the damage that can be taken over, each with its event."""
    for row, is_proven in _judged(file, chain):
        event = None if is_proven else _event(chain, row)
        if event is not None:
            yield row, event


def _follows(row: Row, previous: str) -> bool:
    try:
        return follows(row, previous, row.sequence)
    except Exception:  # noqa: BLE001  # a value of another type than was written: it does not
        return False


def _event(chain: str, row: Row) -> Event | None:
    """Return the event of a row whose columns agree with one another, else None."""
    with suppress(LedgerError, TypeError):
        event = recorded(chain, row).event
        if (event.key, event.study) == (row.key, row.study) and isinstance(row.at, float):
            return event
    return None


def _next_readable(connection: sqlite3.Connection, after: int, most: int) -> Row | None:
    for sequence in range(after + 1, after + most + 1):
        with suppress(sqlite3.Error):
            found = connection.execute(_AT, (sequence,)).fetchone()
            if found is not None:
                return row_of(found)
    return None


def _opened(file: Path) -> sqlite3.Connection:
    """Open for reading; whatever is wrong shows at the first question. The file stays as it is."""
    address = f"{file.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, isolation_level=None)


def last_known(folder: Path, chain: str) -> int:
    """Return how far the read model had laid out a chain; 0 where it cannot say."""
    return _number(folder / FILE, _LAID_OUT, chain)


def _number(file: Path, statement: str, chain: str) -> int:
    """Return the one number that a file has for a chain; 0 where it has none or is damaged."""
    if file.is_file():
        with closing(_opened(file)) as connection, suppress(sqlite3.Error):
            found = connection.execute(statement, (chain,)).fetchone()
            return int(found[0]) if found else 0
    return 0
