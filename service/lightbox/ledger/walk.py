"""Along one chain from its first row: whether each row is the one that was written there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.errors import LedgerError
from lightbox.domain.events import ChainRebuilt, ServiceMarked
from lightbox.ledger.chain import Row, digest, genesis
from lightbox.ledger.tables import chain_files, read_only, row_of
from lightbox.ledger.timeline import LedgerReader, recorded, unreadable

MOST_PROBLEMS = 20
_REBUILT = "chain_rebuilt:"
_TELL_EACH = 1000  # rows
_PAGE = 5000
_ROWS = (
    "SELECT sequence, at, key, study, body, digest FROM ledger "
    "WHERE sequence > ? ORDER BY sequence LIMIT ?"
)


def nobody(_rows: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What was found along a chain.

    Attributes
    ----------
    last : int
        Sequence of the last row.
    is_readable : bool
        Whether the file could be read to its end.
    breaks : tuple of str
        Where it was rebuilt after damage, and what that means: stated, so no problem.
    """

    chain: str
    rows: int
    last: int
    is_readable: bool
    problems: tuple[str, ...]
    breaks: tuple[str, ...] = ()


def walk(
    folder: Path, chain: str, anchors: Mapping[str, str], told: Callable[[int], None] = nobody
) -> Walked:
    """Recompute every digest of a chain.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    chain : str
        Which one.
    anchors : mapping of str to str
        Digests that others have seen as the head of this chain, each with who says so.
    told : callable (int) → None
        Called every thousand rows with the rows so far.
    """
    way = _Walk(chain, dict(anchors), told)
    problems = at_most(way.over(folder), chain)
    missing = tuple(way.missing_anchors())
    found = (*problems, *missing)
    return Walked(chain, way.rows, way.sequence, way.is_readable, found, tuple(way.breaks))


def anchors_seen(reader: LedgerReader) -> dict[str, dict[str, str]]:
    """Return what chains have seen of each other: chain → digest → who says so."""
    seen: dict[str, dict[str, str]] = {}
    for chain in reader.chains():
        try:
            marks = [recorded(chain, row) for row in reader.anchors(chain)]
        except LedgerError:
            continue  # the walk names the row
        for mark in marks:
            assert isinstance(mark.event, ServiceMarked)
            by = f"chain {chain}, sequence {mark.sequence}"
            for anchored, head in mark.event.heads.items():
                seen.setdefault(anchored, {})[head] = by
    return seen


def expected_anchors(reader: LedgerReader) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return what chains that are there have seen of each other, and which are gone."""
    seen = anchors_seen(reader)
    expected = {chain: seen.pop(chain, {}) for chain in reader.chains()}
    problems = [
        f"chain {chain}, anchored by {by}, is gone"
        for chain, heads in seen.items()
        for by in heads.values()
    ]
    return expected, problems


def at_most(problems: Iterator[str], what: str) -> list[str]:
    """Return the first problems, and how many more there are."""
    found: list[str] = []
    more = 0
    for problem in problems:
        if len(found) < MOST_PROBLEMS:
            found.append(problem)
        else:
            more += 1
    return [*found, f"{what}: {more} more of these"] if more else found


class _Walk:
    """Goes along one chain, row by row."""

    def __init__(self, chain: str, anchors: dict[str, str], told: Callable[[int], None]) -> None:
        self._chain = chain
        self._anchors = anchors
        self._told = told
        self._digest = genesis(chain)
        self.rows = 0
        self.sequence = 0
        self.is_readable = True
        self.breaks: list[str] = []

    def over(self, folder: Path) -> Iterator[str]:
        """Yield what is wrong."""
        reader = LedgerReader(folder)
        try:
            stated = reader.stated_head(self._chain)
            for row in _rows(folder, self._chain):
                problem = self._step(row)
                if row.key.startswith(_REBUILT):
                    self._rebuilt(row)
                if row.sequence == stated[0] and row.digest != stated[1]:
                    problem = f"{self._name(row.sequence)} is not the head that the file states"
                if problem:
                    yield problem
            if self.sequence < stated[0]:
                gone = _span(self.sequence + 1, stated[0])
                yield f"chain {self._chain}, {gone} was written and is gone from the end"
            elif self.sequence > reader.stated_head(self._chain)[0]:
                yield f"{self._name(self.sequence)} is beyond the head that the file states"
        except LedgerError as error:
            self.is_readable = False
            yield str(error)
        finally:
            reader.close()

    def missing_anchors(self) -> Iterator[str]:
        """Yield what another chain has seen here and is not here any more."""
        for anchored, by in self._anchors.items():
            yield f"chain {self._chain}: row {anchored[:12]}…, anchored by {by}, is gone"

    def _rebuilt(self, row: Row) -> None:
        """Miss no more what a rebuilt chain says that it lost; say so instead."""
        event = recorded(self._chain, row).event
        if isinstance(event, ChainRebuilt):
            self.breaks.append(f"{self._name(row.sequence)}: {event.words}")
            for anchored in event.gone:
                self._anchors.pop(anchored, None)

    def _step(self, row: Row) -> str:
        expected, previous = self.sequence + 1, self._digest
        self.sequence, self._digest = row.sequence, row.digest
        self.rows += 1
        if self.rows % _TELL_EACH == 0:
            self._told(self.rows)
        self._anchors.pop(row.digest, None)
        if row.sequence != expected:
            return f"chain {self._chain}, {_span(expected, row.sequence - 1)} is missing"
        if row.digest != digest(previous, row.sequence, row.at, (row.key, row.study, row.body)):
            return (
                f"{self._name(row.sequence)} is not what was written there (edited, moved or "
                "inserted, or the row before it was)"
            )
        return ""

    def _name(self, sequence: int) -> str:
        return f"chain {self._chain}, sequence {sequence}"


def _rows(folder: Path, chain: str) -> Iterator[Row]:
    """Yield all rows; between two pages the writer may clear its log."""
    try:
        with closing(read_only(chain_files(folder)[chain])) as connection:
            after = -(2**62)
            while page := connection.execute(_ROWS, (after, _PAGE)).fetchall():
                yield from map(row_of, page)
                after = page[-1][0]
    except sqlite3.Error as error:
        raise unreadable(chain, error) from error


def _span(first: int, last: int) -> str:
    return f"sequence {first}" if first == last else f"sequence {first} to {last}"
