"""The proof: every chain recomputed from its first row, every accepted instance accounted for.

An edited, removed, inserted or reordered row breaks the digests and is named. Rows removed from
the end are missed by the head that the file states, by the heads that other chains anchor
(``ServiceMarked``), and by later events that speak of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lightbox.domain.account import Account
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import ServiceMarked
from lightbox.ledger.chain import Row, digest, genesis
from lightbox.ledger.stored_files import file_problems
from lightbox.ledger.timeline import LedgerReader, recorded

_MOST_PROBLEMS = 20
_TELL_EACH = 1000  # rows


def _nobody(_rows: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was recomputed.

    Attributes
    ----------
    chains : mapping of str to int
        Rows of each chain.
    unaccounted : int
        Instances and jobs that events speak of although no row accepted or placed them.
    problems : tuple of str
        Each names a chain and a sequence, an instance or a file.
    files : int
        Stored files whose bytes were hashed again (``check`` only).
    """

    ok: bool
    rows: int
    chains: Mapping[str, int]
    accepted: int
    delivered: int
    listed: int
    in_progress: int
    unaccounted: int
    problems: tuple[str, ...] = ()
    files: int = 0


def prove(
    folder: Path, destinations: Iterable[str] = (), told: Callable[[int], None] = _nobody
) -> Proof:
    """Recompute every chain and the account. Safe beside a running service.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    destinations : iterable of str
        Names of those that get results.
    told : callable (int) → None
        Called every thousand rows with how many were recomputed so far.
    """
    return _prove(folder, destinations, told)[0]


def check(
    folder: Path,
    storage_root: Path,
    destinations: Iterable[str] = (),
    kept_since: float = 0.0,
) -> Proof:
    """Prove, then check the pages of the chains' files and hash every stored file again.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    storage_root : Path
        The data directory, that paths in the ledger start from.
    destinations : iterable of str
        Names of those that get results.
    kept_since : float
        Seconds since 1970; what arrived earlier and is settled may have been removed by
        retention.
    """
    proof, account = _prove(folder, destinations)
    files, problems = file_problems(account, storage_root, kept_since)
    found = (*proof.problems, *_damaged_pages(folder), *problems)
    return replace(proof, ok=not found, problems=found, files=files)


def _prove(
    folder: Path, destinations: Iterable[str], told: Callable[[int], None] = _nobody
) -> tuple[Proof, Account]:
    account = Account(destinations)
    reader = LedgerReader(folder)
    count = _Count(told)
    try:
        walks = {chain: _Walk(chain, count) for chain in reader.chains()}
        problems = list(_expect_anchors(reader, walks))
        for walk in walks.values():
            problems += _at_most(walk.over(reader, account), walk.chain)
        early = account.strangers()
        # A chain that was read later may speak of what an earlier one got meanwhile. The cause is
        # always on disk before the effect: whoever is still a stranger after this had none.
        for walk in walks.values():
            problems += _at_most(walk.over(reader, account), walk.chain)
            problems += walk.missing_anchors()
    finally:
        reader.close()
    late = set(account.strangers())
    strangers = [stranger for stranger in early if stranger in late]
    problems += _at_most(iter(strangers), "the account")
    totals = account.totals()
    rows = {chain: walk.rows for chain, walk in walks.items()}
    proof = Proof(
        ok=not problems,
        rows=sum(rows.values()),
        chains=rows,
        accepted=totals.accepted,
        delivered=totals.delivered,
        listed=totals.listed,
        in_progress=totals.in_progress,
        unaccounted=len(strangers),
        problems=tuple(problems),
    )
    return proof, account


def _damaged_pages(folder: Path) -> Iterator[str]:
    reader = LedgerReader(folder)
    try:
        for chain in reader.chains():
            try:
                damage = reader.integrity(chain)
            except LedgerError as error:
                yield str(error)
            else:
                yield from (f"chain {chain}: {what}" for what in damage)
    finally:
        reader.close()


class _Count:
    """Counts the rows of all walks, and tells of each thousand."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._rows = 0

    def one_more(self) -> None:
        self._rows += 1
        if self._rows % _TELL_EACH == 0:
            self._told(self._rows)


class _Walk:
    """Goes along one chain, row by row; may be continued later."""

    def __init__(self, chain: str, count: _Count) -> None:
        self.chain = chain
        self._count = count
        self.rows = 0
        self._sequence = 0
        self._digest = genesis(chain)
        self._anchors: dict[str, str] = {}

    def expect(self, anchored: str, by: str) -> None:
        """Note that another chain has seen this digest as the head of this one."""
        self._anchors[anchored] = by

    def over(self, reader: LedgerReader, account: Account) -> Iterator[str]:
        """Apply each further row to the account; yield what is wrong."""
        try:
            stated = reader.stated_head(self.chain)
            for row in reader.rows(self.chain, self._sequence):
                problem = self._step(row)
                if row.sequence == stated[0] and row.digest != stated[1]:
                    problem = f"{self._name(row.sequence)} is not the head that the file states"
                try:
                    account.apply(recorded(self.chain, row))
                except LedgerError as error:
                    problem = problem or str(error)
                if problem:
                    yield problem
            if self._sequence < stated[0]:
                gone = _span(self._sequence + 1, stated[0])
                yield f"chain {self.chain}, {gone} was written and is gone from the end"
            elif self._sequence > reader.stated_head(self.chain)[0]:
                yield f"{self._name(self._sequence)} is beyond the head that the file states"
        except LedgerError as error:
            yield str(error)

    def missing_anchors(self) -> Iterator[str]:
        """Yield what another chain has seen here and is not here any more."""
        for anchored, by in self._anchors.items():
            yield f"chain {self.chain}: row {anchored[:12]}…, anchored by {by}, is gone"

    def _step(self, row: Row) -> str:
        expected, previous = self._sequence + 1, self._digest
        self._sequence, self._digest = row.sequence, row.digest
        self.rows += 1
        self._count.one_more()
        self._anchors.pop(row.digest, None)
        if row.sequence != expected:
            return f"chain {self.chain}, {_span(expected, row.sequence - 1)} is missing"
        if row.digest != digest(previous, row.sequence, row.at, (row.key, row.study, row.body)):
            return (
                f"{self._name(row.sequence)} is not what was written there (edited, moved or "
                "inserted, or the row before it was)"
            )
        return ""

    def _name(self, sequence: int) -> str:
        return f"chain {self.chain}, sequence {sequence}"


def _expect_anchors(reader: LedgerReader, walks: Mapping[str, _Walk]) -> Iterator[str]:
    for chain in walks:
        try:
            marks = [recorded(chain, row) for row in reader.anchors(chain)]
        except LedgerError:
            continue  # the walk names the row
        for mark in marks:
            assert isinstance(mark.event, ServiceMarked)
            by = f"chain {chain}, sequence {mark.sequence}"
            for anchored, head in mark.event.heads.items():
                if anchored in walks:
                    walks[anchored].expect(head, by)
                else:
                    yield f"chain {anchored}, anchored by {by}, is gone"


def _at_most(problems: Iterator[str], what: str) -> list[str]:
    found: list[str] = []
    more = 0
    for problem in problems:
        if len(found) < _MOST_PROBLEMS:
            found.append(problem)
        else:
            more += 1
    return [*found, f"{what}: {more} more of these"] if more else found


def _span(first: int, last: int) -> str:
    return f"sequence {first}" if first == last else f"sequence {first} to {last}"
