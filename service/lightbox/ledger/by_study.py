"""The whole ledger, one study at a time: memory is bounded by the largest study.

The chains are read beside each other in the order of their index of studies, so all rows of a
study come together, are folded, and are forgotten. Where there is much to read, a process for each
core takes a range of studies.
"""

from __future__ import annotations

import heapq
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.ledger.chain import Row
from lightbox.ledger.tables import chain_files, read_only, row_of
from lightbox.ledger.timeline import in_time_order, recorded

_ALONE = 50_000
"""Rows that one process folds before others would have started."""

_ROWS = (
    "SELECT sequence, at, key, study, body, digest FROM ledger "
    "WHERE study >= ? AND study < ? AND sequence <= ? ORDER BY study, sequence"
)
_NTH = "SELECT study FROM ledger WHERE study > '' ORDER BY study LIMIT 1 OFFSET ?"
_FIRST, _BEYOND = "\x01", "\x7f"
"""Before and after every name of a study: those are UIDs, and rows of no study have none."""

_T = TypeVar("_T")


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
    first: str = _FIRST
    beyond: str = _BEYOND


def studies_of(share: Share) -> Iterator[tuple[str, list[tuple[str, Row]]]]:
    """Yield each study with its rows (chain, row), in the order of the studies' names.

    Raises
    ------
    sqlite3.Error
        If a chain cannot be read.
    """
    with ExitStack() as files:
        found = []
        for chain, path in chain_files(share.folder).items():
            connection = files.enter_context(closing(read_only(path)))
            wanted = (share.first, share.beyond, share.bounds.get(chain, 0))
            found.append(_named(chain, connection.execute(_ROWS, wanted)))
        rows = heapq.merge(*found, key=itemgetter(0))
        for study, of_study in groupby(rows, key=itemgetter(0)):
            yield study, [(chain, row) for _, chain, row in of_study]


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


def over_all(folder: Path, bounds: Mapping[str, int], work: Callable[[Share], _T]) -> Iterator[_T]:
    """Do ``work`` over the whole ledger, in as many processes as there are cores.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    bounds : mapping of str to int
        Chain → newest sequence to read.
    work : callable
        Module-level, or a ``functools.partial`` of such; what it returns is sent back.
    """
    cores = len(os.sched_getaffinity(0))
    is_child = multiprocessing.current_process().daemon  # such a one may have no children
    if sum(bounds.values()) <= _ALONE or cores == 1 or is_child:
        yield work(Share(folder, bounds))
        return
    shares = _shares(folder, bounds, 4 * cores)
    fresh = multiprocessing.get_context("spawn")  # a fork would take our threads' locks along
    with ProcessPoolExecutor(cores, mp_context=fresh) as processes:
        yield from processes.map(work, shares)


def _shares(folder: Path, bounds: Mapping[str, int], count: int) -> list[Share]:
    largest = max(bounds, key=lambda chain: bounds[chain])
    with closing(read_only(chain_files(folder)[largest])) as connection:
        nth = (bounds[largest] * part // count for part in range(1, count))
        found = [connection.execute(_NTH, (n,)).fetchone() for n in nth]
    edges = sorted({_FIRST, _BEYOND, *(edge[0] for edge in found if edge)})
    return [Share(folder, bounds, first, beyond) for first, beyond in pairwise(edges)]


def _named(chain: str, rows: Iterator[tuple[object, ...]]) -> Iterator[tuple[str, str, Row]]:
    return ((row.study, chain, row) for row in map(row_of, rows))
