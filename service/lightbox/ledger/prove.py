"""The proof: every chain recomputed from its first row, every accepted instance accounted for.

An edited, removed, inserted or reordered row breaks the digests and is named (``walk.py``). Rows
removed from the end are missed by the head that the file states, by the heads that other chains
anchor (``ServiceMarked``), and by later events that speak of them. What a chain lost to damage
before it was rebuilt is stated as a break in every proof from then on. The account is recomputed one
study at a time (``by_study.py``), from the rows whose digests were recomputed and from no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from lightbox.domain.account import Account
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Recorded
from lightbox.domain.keeping import removed_paths
from lightbox.domain.result import Disposition
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.ledger.by_study import Share, can_share, in_parts, of_no_study, shares, studies_of
from lightbox.ledger.chain import Row
from lightbox.ledger.stored_files import FilesOf, file_problems
from lightbox.ledger.timeline import LedgerReader, in_time_order, recorded
from lightbox.ledger.walk import Walked, at_most, expected_anchors, nobody, walk


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
    breaks : tuple of str
        Where a chain was rebuilt after damage: before it rows are missing, as it says itself.
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
    breaks: tuple[str, ...] = ()


def prove(
    folder: Path, destinations: Iterable[str] = (), told: Callable[[int], None] = nobody
) -> Proof:
    """Recompute every chain and the account. Safe beside a running service.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    destinations : iterable of str
        Names of those that get results.
    told : callable (int) → None
        Called now and then with how many rows were recomputed so far.
    """
    return _prove(folder, destinations, None, told)


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
    proof = _prove(folder, destinations, FilesOf(storage_root, kept_since))
    found = (*proof.problems, *_damaged_pages(folder))
    return replace(proof, ok=not found, problems=found)


def _prove(
    folder: Path,
    destinations: Iterable[str],
    files: FilesOf | None,
    told: Callable[[int], None] = nobody,
) -> Proof:
    expected = Expectations(tuple(destinations))
    with closing(LedgerReader(folder)) as reader:
        anchors, problems = expected_anchors(reader)
        walked = _walk_all(folder, anchors, told)
        problems += [problem for chain in walked for problem in chain.problems]
        bounds = {chain.chain: chain.last for chain in walked if chain.is_readable}
        tally = _Tally()
        for part in in_parts(
            partial(_fold, expected=expected, files=files), shares(folder, bounds)
        ):
            tally.add(part)
        problems += tally.problems
        strangers = _still_strangers(reader, tally.strangers, expected)
    problems += at_most(iter(strangers), "the account")
    readable = sum(chain.rows for chain in walked if chain.is_readable)
    if tally.rows != readable and not tally.problems:
        problems.append(
            f"{readable} rows were walked and {tally.rows} are in the indexes of studies: "
            "run `lightbox ledger check`"
        )
    counts = tally.dispositions
    return Proof(
        ok=not (problems or tally.file_problems),
        rows=sum(chain.rows for chain in walked),
        chains={chain.chain: chain.rows for chain in walked},
        accepted=sum(counts.values()),
        delivered=counts[Disposition.DELIVERED],
        listed=counts[Disposition.LISTED],
        in_progress=counts[Disposition.IN_PROGRESS],
        unaccounted=len(strangers),
        problems=(*problems, *tally.file_problems),
        files=tally.files,
        breaks=tuple(each for chain in walked for each in chain.breaks),
    )


@dataclass(slots=True)
class _Tally:
    """What a part of the account adds up to; ``strangers`` are (study, who is a stranger there)."""

    rows: int = 0
    dispositions: dict[Disposition, int] = field(
        default_factory=lambda: dict.fromkeys(Disposition, 0)
    )
    strangers: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    files: int = 0
    file_problems: list[str] = field(default_factory=list)

    def add(self, other: _Tally) -> None:
        self.rows += other.rows
        for name, count in other.dispositions.items():
            self.dispositions[name] += count
        self.strangers += other.strangers
        self.problems += other.problems
        self.files += other.files
        self.file_problems += other.file_problems


def _walk_all(
    folder: Path, anchors: Mapping[str, Mapping[str, str]], told: Callable[[int], None]
) -> list[Walked]:
    walked: list[Walked] = []
    if can_share(folder):
        of_chain = partial(_walk_one, folder=folder)
        for one in in_parts(of_chain, list(anchors.items())):
            walked.append(one)
            told(sum(chain.rows for chain in walked))
        return walked
    for chain, seen in anchors.items():
        before = sum(one.rows for one in walked)
        walked.append(walk(folder, chain, seen, partial(_tell, told, before)))
    return walked


def _tell(told: Callable[[int], None], before: int, more: int) -> None:
    told(before + more)


def _walk_one(of: tuple[str, Mapping[str, str]], folder: Path) -> Walked:
    return walk(folder, *of)


def _fold(share: Share, expected: Expectations, files: FilesOf | None) -> _Tally:
    """Account for a share of the ledger; runs in a process of its own."""
    tally = _Tally()
    try:
        for chain, row in of_no_study(share):
            tally.rows += 1
            _read(chain, row, tally)
        for study, rows in studies_of(share):
            tally.rows += len(rows)
            _account_for(study, rows, expected, files, tally)
    except LedgerError as error:
        tally.problems.append(str(error))
    return tally


def _account_for(
    study: str,
    rows: Sequence[tuple[str, Row]],
    expected: Expectations,
    files: FilesOf | None,
    tally: _Tally,
) -> None:
    account = StudyAccount(study, expected)
    for row in in_time_order(_readable(rows, tally)):
        account.apply(row)
    standings = tuple(account.instances())
    for standing in standings:
        tally.dispositions[standing.verdict.disposition] += 1
    tally.strangers += [(study, stranger) for stranger in account.strangers()]
    if files is not None:
        hashed, problems = file_problems(standings, files, removed_paths(account))
        tally.files += hashed
        tally.file_problems += problems


def _readable(rows: Sequence[tuple[str, Row]], tally: _Tally) -> Iterator[Recorded]:
    found = (_read(chain, row, tally) for chain, row in rows)
    return (row for row in found if row is not None)


def _read(chain: str, row: Row, tally: _Tally) -> Recorded | None:
    try:
        event = recorded(chain, row)
    except LedgerError as error:
        tally.problems.append(str(error))
        return None
    if event.event.study != row.study:
        where = f"chain {chain}, sequence {row.sequence}"
        tally.problems.append(f"{where} stands under another study than its event names")
        return None
    return event


def _still_strangers(
    reader: LedgerReader, strangers: Sequence[tuple[str, str]], expected: Expectations
) -> list[str]:
    """Look again at those of whom a chain that was read later spoke.

    The cause is always on disk before the effect: whoever was a stranger and still is one has none.
    Those that are new at the second look are of rows that came meanwhile, and left to later.
    """
    found: list[str] = []
    for study in sorted({study for study, _ in strangers}):
        account = Account.expecting(expected)
        try:
            for row in reader.timelines((study,)):
                account.apply(row)
        except LedgerError:  # its row is a problem already
            continue
        found += [one for one in account.strangers() if (study, one) in strangers]
    return found


def _damaged_pages(folder: Path) -> Iterator[str]:
    with closing(LedgerReader(folder)) as reader:
        for chain in reader.chains():
            try:
                damage = reader.integrity(chain)
            except LedgerError as error:
                yield str(error)
            else:
                yield from (f"chain {chain}: {what}" for what in damage)
