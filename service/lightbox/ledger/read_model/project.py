"""Keeps the read model up with the chains: written by the ``control`` process, by nobody else.

It is never believed on its word. It says how far each chain is laid out and what digest stands
there; where a chain says otherwise, where another version or other destinations made it, or where
its file is damaged, it is thrown away and made anew from the chains.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from lightbox.domain.account import Account
from lightbox.domain.study_account import Expectations
from lightbox.ledger.by_study import Share, fold, in_parts, shares, studies_of
from lightbox.ledger.read_model import tables
from lightbox.ledger.read_model.entry import Entry, Horizon, Values, counts_of, entry_of
from lightbox.ledger.read_model.tables import (
    FILE,
    MADE_FOR,
    OF_A_STUDY,
    POSITIONS,
    STUDIES,
    TOTALS,
)
from lightbox.ledger.timeline import LedgerReader, unreadable
from lightbox.version import __version__

_AT_ONCE = 500
"""Studies in one statement, and in one transaction while it is made anew."""

_log = logging.getLogger(__name__)


def fingerprint(expected: Expectations) -> str:
    """Return what the read model depends on beside the chains."""
    of = (tables.SCHEMA, __version__, expected.destinations, sorted(expected.commits))
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def fits(engine: Engine, reader: LedgerReader, expected: Expectations) -> bool:
    """Say whether a file was made for these expectations and from these chains."""
    with engine.connect() as connection:
        made_for = connection.execute(select(MADE_FOR.c.fingerprint)).scalars().all()
        places = connection.execute(select(POSITIONS)).all()
    if made_for != [fingerprint(expected)]:
        return False
    rows = ((reader.row(place.chain, place.sequence), place.digest) for place in places)
    return all(row is not None and row.digest == seen for row, seen in rows)


class Projection:
    """The writer of the read model.

    Attributes
    ----------
    caught_up : frozenset of str
        Studies with rows that were not laid out yet: nobody may have followed them.

    Parameters
    ----------
    folder : Path
        Holds the chains, and the file.
    expected : Expectations
        The site's.
    horizon : Horizon
        For what is made anew or caught up with now.
    """

    def __init__(self, folder: Path, expected: Expectations, horizon: Horizon) -> None:
        self._folder = folder
        self._expected = expected
        self._reader = LedgerReader(folder)
        self._engine = self._opened(horizon)
        self.caught_up = self._catch_up(horizon)

    def live(self) -> frozenset[str]:
        """Return the studies of which something is open, or that came lately."""
        with self._engine.connect() as connection:
            wanted = select(STUDIES.c.study).where(STUDIES.c.is_live)
            return frozenset(connection.execute(wanted).scalars())

    def positions(self) -> Mapping[str, int]:
        """Return how far each chain is laid out."""
        with self._engine.connect() as connection:
            return {row.chain: row.sequence for row in connection.execute(select(POSITIONS))}

    def keep(self, entries: Sequence[Entry], heads: Mapping[str, tuple[int, str]]) -> None:
        """Replace what is kept of some studies.

        Parameters
        ----------
        entries : sequence of Entry
            Of every study that has rows since the last time.
        heads : mapping of str to (int, str)
            Chain → sequence and digest of the newest row that is in them.

        Raises
        ------
        LedgerError
            If it cannot be written; what was there stays.
        """
        try:
            with self._engine.begin() as connection:
                _replace(connection, entries)
                _move(connection, heads)
        except SQLAlchemyError as error:
            raise unreadable("read model", error) from error

    def close(self) -> None:
        """Close the file and the chains."""
        self._engine.dispose()
        self._reader.close()

    # ----------------------------------------------------------------------------- made anew
    def _opened(self, horizon: Horizon) -> Engine:
        path = self._folder / FILE
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            engine = tables.writing(path)
            if fits(engine, self._reader, self._expected):
                return engine
            engine.dispose()
        except SQLAlchemyError as error:
            _log.warning("read model: damaged, made anew: %s", getattr(error, "orig", error))
        for name in (path, *(path.with_name(f"{FILE}{end}") for end in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
        engine = tables.writing(path)
        try:
            _make(engine, self._folder, self._reader, self._expected, horizon)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _catch_up(self, horizon: Horizon) -> frozenset[str]:
        positions = self.positions()
        newest = self._reader.newest()
        bounds = {chain: row.sequence for chain, row in newest.items()}
        if bounds == positions:
            return frozenset()
        touched = sorted(self._reader.studies_after(positions))
        for start in range(0, len(touched), _AT_ONCE):
            account = Account.expecting(self._expected)
            names = touched[start : start + _AT_ONCE]
            for row in self._reader.timelines(names):
                if row.sequence <= bounds.get(row.chain, 0):
                    account.apply(row)
            with self._engine.begin() as connection:
                _replace(connection, [entry_of(account.of(name), horizon) for name in names])
        with self._engine.begin() as connection:
            _move(connection, {chain: (row.sequence, row.digest) for chain, row in newest.items()})
        return frozenset(touched)


class Base:
    """A read model that is opened for reading; one that was made for this reader only goes away."""

    def __init__(self, engine: Engine, own: TemporaryDirectory[str] | None) -> None:
        self._engine = engine
        self._own = own

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection in a transaction, so that all that is asked of it fits together.

        Raises
        ------
        LedgerError
            If the file cannot be read.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unreadable("read model", error) from error

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()
        if self._own is not None:
            self._own.cleanup()


def opened_for_reading(folder: Path, expected: Expectations, reader: LedgerReader) -> Base:
    """Open the read model of a folder, or one that is made for this reader where none fits."""
    path = folder / FILE
    if path.exists():
        engine = tables.reading(path)
        try:
            if fits(engine, reader, expected):
                return Base(engine, None)
        except SQLAlchemyError:  # damaged, or just being made
            pass
        engine.dispose()
    own = TemporaryDirectory(prefix="lightbox-")
    engine = tables.writing(Path(own.name) / FILE)
    _make(engine, folder, reader, expected, Horizon())
    return Base(engine, own)


def _make(
    engine: Engine,
    folder: Path,
    reader: LedgerReader,
    expected: Expectations,
    horizon: Horizon,
) -> None:
    newest = reader.newest()
    bounds = {chain: row.sequence for chain, row in newest.items()}
    found: Counter[str] = Counter()
    work = partial(_entries, expected=expected, horizon=horizon)
    for entries in in_parts(work, shares(folder, bounds)):
        with engine.begin() as connection:
            _insert(connection, entries)
        found.update(_counts(row for entry in entries for row in entry.studies))
    with engine.begin() as connection:
        _add(connection, found)
        _move(connection, {chain: (row.sequence, row.digest) for chain, row in newest.items()})
        # Last: what was made half fits nothing.
        connection.execute(insert(MADE_FOR), {"fingerprint": fingerprint(expected)})


def _entries(share: Share, expected: Expectations, horizon: Horizon) -> list[Entry]:
    """Fold a share of the ledger; runs in a process of its own."""
    return [entry_of(fold(name, rows, expected), horizon) for name, rows in studies_of(share)]


def _replace(connection: Connection, entries: Sequence[Entry]) -> None:
    for start in range(0, len(entries), _AT_ONCE):
        some = entries[start : start + _AT_ONCE]
        names = [entry.study for entry in some]
        before = connection.execute(select(STUDIES).where(STUDIES.c.study.in_(names)))
        change: Counter[str] = Counter()
        change.update(_counts(row for entry in some for row in entry.studies))
        change.subtract(_counts(row._asdict() for row in before))
        for table in OF_A_STUDY:
            connection.execute(delete(table).where(table.c.study.in_(names)))
        _insert(connection, some)
        _add(connection, change)


def _insert(connection: Connection, entries: Sequence[Entry]) -> None:
    for table in OF_A_STUDY:
        rows = [dict(row) for entry in entries for row in getattr(entry, table.name)]
        if rows:
            # A result or a job belongs to one study; should a ledger say otherwise, the last wins.
            connection.execute(insert(table).prefix_with("OR REPLACE"), rows)


def _counts(rows: Iterable[Values]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(counts_of(row))
    return counts


def totals(connection: Connection) -> dict[str, int]:
    """Return how many there are of everything, by name."""
    found = connection.execute(select(TOTALS.c.name, TOTALS.c["count"]))
    return {str(name): int(number) for name, number in found}


def _add(connection: Connection, change: Mapping[str, int]) -> None:
    known = totals(connection)
    changed = [
        {"name": name, "count": known.get(name, 0) + by} for name, by in change.items() if by
    ]
    if changed:
        connection.execute(insert(TOTALS).prefix_with("OR REPLACE"), changed)


def _move(connection: Connection, heads: Mapping[str, tuple[int, str]]) -> None:
    places = [
        {"chain": chain, "sequence": sequence, "digest": seen}
        for chain, (sequence, seen) in heads.items()
    ]
    if places:
        connection.execute(insert(POSITIONS).prefix_with("OR REPLACE"), places)
