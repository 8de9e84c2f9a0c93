"""The whole ledger, one study at a time: memory is bounded by the largest study.

The chains are read beside each other in the order of their index of studies, so all rows of a
study come together, are folded, and are forgotten. Where there is much to read, a process for each
core takes a range of studies.
"""

from __future__ import annotations

import heapq
import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import TypeVar

from lightbox.domain.errors import LedgerError
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.ledger.chain import Row
from lightbox.ledger.tables import chain_files, read_only, row_of
from lightbox.ledger.timeline import LedgerReader, in_time_order, recorded, unreadable

_ALONE = 50_000
"""Rows that one process folds before others would have started."""

_ROWS = (
    "SELECT sequence, at, key, study, body, digest FROM ledger "
    "WHERE study >= ? AND study < ? AND sequence <= ? ORDER BY study, sequence"
)
_NTH = "SELECT study FROM ledger WHERE study > '' ORDER BY study LIMIT 1 OFFSET ?"
FIRST, _BEYOND = "", "\x7f"
"""The name of no study, and what comes after every name: those are UIDs."""

_T = TypeVar("_T")
_Of = TypeVar("_Of")


@dataclass(frozen=True, slots=True)
class Share:
    """Part of the ledger: studies from ``first`` to before ``beyond``, rows up to ``bounds``.

    Attributes
    ----------
    bounds : mapping of str to int
        Chain → newest sequence to read; what was written later is left to later.
    """

    folder: Path
    bounds: Mapping[str, int]
    first: str = FIRST
    beyond: str = _BEYOND


def studies_of(share: Share) -> Iterator[tuple[str, list[tuple[str, Row]]]]:
    """Yield each study with its rows (chain, row), in the order of the studies' names.

    Raises
    ------
    LedgerError
        If a chain cannot be read.
    """
    with ExitStack() as files:
        found = [_rows(share, chain, files) for chain in share.bounds]
        rows = heapq.merge(*found, key=_study)
        for study, of_study in groupby(rows, key=_study):
            if study:
                yield study, list(of_study)


def of_no_study(share: Share) -> Iterator[tuple[str, Row]]:
    """Yield the rows of no study (chain, row), where the share begins with them.

    Raises
    ------
    LedgerError
        If a chain cannot be read.
    """
    if share.first == FIRST:
        with ExitStack() as files:
            for chain in share.bounds:
                yield from _rows(replace(share, beyond="\x01"), chain, files)


def fold(study: str, rows: Sequence[tuple[str, Row]], expected: Expectations) -> StudyAccount:
    """Return the account of one study.

    Raises
    ------
    LedgerError
        If a row holds no event of ours.
    """
    account = StudyAccount(study, expected)
    for row in in_time_order(recorded(chain, row) for chain, row in rows):
        account.apply(row)
    return account


def can_share(folder: Path) -> bool:
    """Say whether other processes may help, and there is so much to read that they are worth it."""
    with closing(LedgerReader(folder)) as reader:
        try:
            rows = sum(row.sequence for row in reader.newest().values())
        except LedgerError:
            return False
    return rows > _ALONE and _helpers() > 1


def shares(folder: Path, bounds: Mapping[str, int]) -> list[Share]:
    """Return the whole ledger, as one share or as several that processes can take.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    bounds : mapping of str to int
        Chain → newest sequence to read; chains that are not named are left out.
    """
    if sum(bounds.values()) <= _ALONE:
        return [Share(folder, bounds)]
    count = 4 * _helpers()
    largest = max(bounds, key=lambda chain: bounds[chain])
    with closing(read_only(chain_files(folder)[largest])) as connection:
        nth = (bounds[largest] * part // count for part in range(1, count))
        found = [connection.execute(_NTH, (n,)).fetchone() for n in nth]
    edges = sorted({FIRST, _BEYOND, *(edge[0] for edge in found if edge)})
    return [Share(folder, bounds, first, beyond) for first, beyond in pairwise(edges)]


def in_parts(work: Callable[[_Of], _T], parts: Sequence[_Of]) -> Iterator[_T]:
    """Do ``work`` on each part, in as many processes as there are cores where there are several.

    Parameters
    ----------
    work : callable
        Module-level, or a ``functools.partial`` of such; what it returns is sent back.
    parts : sequence
        One part: it is done here.
    """
    helpers = _helpers()
    if len(parts) <= 1 or helpers == 1:
        yield from map(work, parts)
        return
    fresh = multiprocessing.get_context("spawn")  # a fork would take our threads' locks along
    with ProcessPoolExecutor(helpers, mp_context=fresh) as processes:
        yield from processes.map(work, parts)


def _helpers() -> int:
    is_child = multiprocessing.current_process().daemon  # such a one may have no children
    return 1 if is_child else len(os.sched_getaffinity(0))


def _rows(share: Share, chain: str, files: ExitStack) -> Iterator[tuple[str, Row]]:
    try:
        path = chain_files(share.folder)[chain]
        connection = files.enter_context(closing(read_only(path)))
        wanted = (share.first, share.beyond, share.bounds[chain])
        for found in connection.execute(_ROWS, wanted):
            yield chain, row_of(found)
    except sqlite3.Error as error:
        raise unreadable(chain, error) from error


def _study(row: tuple[str, Row]) -> str:
    return row[1].study
