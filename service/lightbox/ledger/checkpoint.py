"""Starting without reading a million rows: what is settled need not be folded again.

A checkpoint says: before these positions everything is settled, but for these studies. At the
next start the rows after the positions are read, and the whole timelines of the studies that were
unsettled or that have rows after them. It is a shortcut, never a truth: a missing or ill-fitting
one means that everything is read, and ``prove`` does not look at it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from lightbox.domain.account import Account
from lightbox.domain.events import Recorded
from lightbox.ledger.timeline import LedgerReader, in_time_order


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Positions (chain → sequence), and the studies that were not settled there."""

    positions: Mapping[str, int]
    unsettled: frozenset[str]

    @classmethod
    def of(cls, account: Account, arrived_since: float) -> Checkpoint:
        """Take one; studies with instances that arrived since count as unsettled."""
        unsettled = account.unsettled_studies(arrived_since)
        return cls(dict(account.positions), unsettled)


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return a checkpoint as JSON."""
    values = {"positions": dict(checkpoint.positions), "unsettled": sorted(checkpoint.unsettled)}
    return json.dumps(values, sort_keys=True)


def checkpoint_from(text: str) -> Checkpoint | None:
    """Read what :func:`checkpoint_text` wrote; None where it is something else."""
    try:
        values = json.loads(text)
        positions = {str(chain): int(at) for chain, at in values["positions"].items()}
        return Checkpoint(positions, frozenset(map(str, values["unsettled"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def resume(
    reader: LedgerReader, chain: str, account: Account, arrived_since: float
) -> tuple[Recorded, ...]:
    """Bring an empty account up to now; return the rows that were applied, by time.

    Parameters
    ----------
    reader : LedgerReader
        Of the folder with all chains.
    chain : str
        Whose checkpoint to use.
    account : Account
        Empty; afterwards its positions are those of the newest rows read.
    arrived_since : float
        Rows of no study (associations, starts and stops) are read from this time on.
    """
    checkpoint = checkpoint_from(reader.checkpoint(chain))
    if checkpoint is None or not _fits(checkpoint, reader):
        checkpoint = Checkpoint({}, frozenset())
    later = reader.since(checkpoint.positions)
    rows = {(row.chain, row.sequence): row for row in later}
    if checkpoint.positions:
        studies = checkpoint.unsettled | {row.event.study for row in later}
        earlier = reader.timelines(studies - {""})
        for row in (*earlier, *reader.without_study(arrived_since)):
            if row.sequence <= checkpoint.positions.get(row.chain, 0):
                rows[row.chain, row.sequence] = row
    account.positions.update(checkpoint.positions)
    applied = in_time_order(rows.values())
    for row in applied:
        account.apply(row)
    return applied


def _fits(checkpoint: Checkpoint, reader: LedgerReader) -> bool:
    last = reader.last_sequences()
    return all(last.get(chain, 0) >= at for chain, at in checkpoint.positions.items())
