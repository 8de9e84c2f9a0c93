"""The ledger in SQLite files: the port's one implementation, made of a writer and a reader."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import IO

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import SQLAlchemyError

from lightbox import ports
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Event, Recorded
from lightbox.domain.study import Instance
from lightbox.ledger.chain import follows, genesis
from lightbox.ledger.record import Writer
from lightbox.ledger.tables import HEAD, ROWS, chain_file, row_of, writing_engine
from lightbox.ledger.timeline import REBUILD, LedgerReader, unreadable
from lightbox.ledger.walk import anchors_seen

_CHECKED_ROWS = 100
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


class SqliteLedger:
    """One process's own chain to write, every chain in the folder to read.

    Parameters
    ----------
    folder : Path
        Holds one file per chain; made where it is missing.
    chain : str
        Name of the writing process: receive, control, work.
    clock : Clock
        Says when a row is recorded.

    Raises
    ------
    LedgerError
        If another process writes this chain, its newest rows are damaged, or its file was lost.
    """

    def __init__(self, folder: Path, chain: str, clock: ports.Clock) -> None:
        path = chain_file(folder, chain)
        self.folder = folder
        self._chain = chain
        self._lock = _lock(path)
        try:
            self._engine = writing_engine(path)
            last = _verified_head(self._engine, chain, folder)
        except SQLAlchemyError as error:
            self._lock.close()
            raise unreadable(chain, error) from error
        except LedgerError:
            self._engine.dispose()
            self._lock.close()
            raise
        self._writer = Writer(self._engine, chain, last, clock)
        self._reader = LedgerReader(folder)

    def record(self, *events: Event) -> tuple[Recorded, ...]:
        """Append durably, in order; an event whose key is known already returns the old row.

        Raises
        ------
        LedgerError
            If the rows are not on disk. Nothing may be acknowledged then.
        """
        return self._writer.record(events)

    def begin(self, event: Event) -> Callable[[], Recorded]:
        """Begin to append; what is returned waits until it is on disk, and raises as ``record``.

        Raises
        ------
        LedgerError
            If the writer is closed, or the event could not be read again.
        """
        wait = self._writer.begin((event,))
        return lambda: wait()[0]

    def newest_first(self) -> Iterator[Recorded]:
        """Yield the rows of the own chain, the newest first."""
        return self._reader.newest_first(self._chain)

    def since(self, positions: Mapping[str, int]) -> tuple[Recorded, ...]:
        """Return all rows after these positions (chain → sequence), chains in time order."""
        return self._reader.since(positions)

    def timeline(self, study_instance_uid: str) -> tuple[Recorded, ...]:
        """Return the events of one study from all chains, by time."""
        return self._reader.timeline(study_instance_uid)

    def find(self, key: str) -> Recorded | None:
        """Return the row with this key from any chain."""
        return self._reader.find(key)

    def instances_of(self, sop_instance_uid: str) -> tuple[Instance, ...]:
        """Return what was accepted under a SOP Instance UID: one for each content that came."""
        return self._reader.instances_of(sop_instance_uid)

    def timelines(self, studies: Collection[str]) -> tuple[Recorded, ...]:
        """Return the events of several studies from all chains, by time."""
        return self._reader.timelines(studies)

    def without_study(self, since: float) -> tuple[Recorded, ...]:
        """Return the rows of no study (associations, starts and stops) from this time on."""
        return self._reader.without_study(since)

    def heads(self) -> Mapping[str, str]:
        """Return the digest of each chain's newest row, to anchor them (``ServiceMarked``)."""
        return self._reader.heads()

    def close(self) -> None:
        """Write what waits, close the files, let another process have the chain."""
        self._writer.close()
        self._reader.close()
        self._engine.dispose()
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    lock = path.with_suffix(".lock")
    try:
        path.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        lock.touch(mode=_PRIVATE_FILE)
        held = lock.open("w")
    except OSError as error:
        raise LedgerError(
            f"ledger {path}", f"cannot be opened: {error}", "check data_dir and its permissions"
        ) from error
    try:
        # A record lock, not flock: a forked child that outlives its parent must not inherit it.
        fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise LedgerError(
            f"ledger {path.name}", "is being written by another process", "stop that one first"
        ) from error
    return held


def _verified_head(engine: Engine, chain: str, folder: Path) -> tuple[int, str]:
    newest = select(ROWS).order_by(ROWS.c.sequence.desc()).limit(_CHECKED_ROWS + 1)
    with engine.begin() as connection:
        rows = [row_of(found) for found in connection.execute(newest)][::-1]
        stated = connection.execute(select(HEAD)).mappings().one_or_none()
        if stated is None and not rows:
            _must_be_new(chain, folder)
            first = {"chain": chain, "sequence": 0, "digest": genesis(chain)}
            connection.execute(insert(HEAD), first)
            return 0, genesis(chain)
    if stated is None or stated["chain"] != chain:
        raise _damaged(chain, 0, "is not of this chain")
    if len(rows) <= _CHECKED_ROWS and rows and not follows(rows[0], genesis(chain), 1):
        raise _damaged(chain, 1, "is not the row that was written")
    for before, row in pairwise(rows):
        if not follows(row, before.digest, before.sequence + 1):
            raise _damaged(chain, before.sequence + 1, "is not the row that was written")
    head = (rows[-1].sequence, rows[-1].digest) if rows else (0, genesis(chain))
    if head != (stated["sequence"], stated["digest"]):
        raise _damaged(chain, stated["sequence"], "was written and is gone")
    return head


def _must_be_new(chain: str, folder: Path) -> None:
    """Refuse to begin a chain of which others have seen rows: its file was lost."""
    with closing(LedgerReader(folder)) as reader:
        seen = anchors_seen(reader).get(chain)
    if seen:
        reason = f"holds no row, and {next(iter(seen.values()))} has seen some"
        raise LedgerError(f"ledger chain {chain}", reason, REBUILD)


def _damaged(chain: str, sequence: int, reason: str) -> LedgerError:
    return LedgerError(
        f"ledger chain {chain}, sequence {sequence}",
        reason,
        REBUILD,
    )
