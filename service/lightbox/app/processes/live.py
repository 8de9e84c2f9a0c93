"""The studies that are in memory: those of which something is open, or that came lately.

What is settled goes to the read model and leaves memory; an event of such a study brings it back
from its own rows. So memory and start depend on what is open, not on what ever was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from lightbox.domain.account import Account
from lightbox.domain.commitment import CommitmentAsked
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Recorded, ServiceMarked
from lightbox.ledger.read_model.entry import Horizon, entry_of
from lightbox.ledger.read_model.project import Projection
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import in_time_order
from lightbox.ports import Clock

_WRITE_EVERY = 1.0
_REST = 10.0
"""Writing the read model may take one part in so many of control's time."""

ASKED_WITHIN = 86400.0
"""Seconds in which a stored result is asked for its commitment (``deliver.commitment.ask``)."""

_log = logging.getLogger(__name__)


class Live:
    """Keeps the account down to what is open, and the read model up to what was read.

    Parameters
    ----------
    ledger : SqliteLedger
        All chains.
    account : Account
        Empty; is filled and emptied here.
    lock : context manager
        Held while the account is changed.
    clock : Clock
        Time.
    arrived_within : float
        Seconds in which more instances of a study are expected.
    """

    def __init__(
        self,
        ledger: SqliteLedger,
        account: Account,
        lock: AbstractContextManager[object],
        clock: Clock,
        arrived_within: float,
    ) -> None:
        self._ledger = ledger
        self._account = account
        self._lock = lock
        self._clock = clock
        self._arrived_within = arrived_within
        self._heads: dict[str, tuple[int, str]] = {}
        self._changed: set[str] = set()
        self._young: dict[str, float] = {}
        self._next = 0.0
        self._is_behind = False
        self._left_at = _left_at(ledger, clock.now())
        self._projection = Projection(
            ledger.folder, account.expected, self._horizon(self.waited_since)
        )

    @property
    def waited_since(self) -> float:
        """Since when an arrival may wait that an earlier run took in, seconds since 1970."""
        return self._left_at - self._arrived_within

    def resume(self) -> tuple[Recorded, ...]:
        """Fill the account with what is live; return its rows, and the recent ones of no study.

        What was written since the last run is live until it was looked at, though it be settled.
        """
        positions = self._projection.positions()
        live = self._projection.live() | self._projection.caught_up
        rows = self._rows_of(live, positions)
        asked = {row.event.transaction for row in rows if isinstance(row.event, CommitmentAsked)}
        rows = (*rows, *self._rows_of(asked - live, positions))
        recent = _up_to(positions, self._ledger.without_study(self.waited_since))
        with self._lock:
            self._account.positions.update(positions)
            for row in rows:
                self._account.apply(row)
            for study in live:
                self._young[study] = self._account.of(study).newest_arrival + self._arrived_within
        return in_time_order((*rows, *recent))

    def take(self, rows: Sequence[Recorded]) -> tuple[Recorded, ...]:
        """Take new rows in; return the earlier rows of studies that came back for them."""
        named = {row.event.study for row in rows} - {""}
        back = {study for study in named if not self._account.holds(study)}
        earlier = self._rows_of(back, self._account.positions)
        with self._lock:
            for row in (*earlier, *rows):
                self._account.apply(row)
            for study in named:
                arrived = self._account.of(study).newest_arrival
                self._young[study] = arrived + self._arrived_within
        for row in rows:
            self._heads[row.chain] = (row.sequence, row.digest)
        self._changed |= named
        return earlier

    def look(self) -> frozenset[str]:
        """Write the read model where it is time; return the studies that left memory."""
        now = self._clock.monotonic()
        if now < self._next:
            return frozenset()
        settled = self.write()
        self._next = self._clock.monotonic()
        self._next += max(_WRITE_EVERY, _REST * (self._next - now))
        return settled

    def write(self) -> frozenset[str]:
        """Write what has changed to the read model, and forget what is settled."""
        now = self._clock.now()
        due = self._changed | {study for study, until in self._young.items() if until <= now}
        due = {study for study in due if self._account.holds(study)}
        if not due:
            return frozenset()
        horizon = self._horizon(now - self._arrived_within)
        with self._lock:
            entries = [entry_of(self._account.of(study), horizon) for study in sorted(due)]
        try:
            self._projection.keep(entries, self._heads)
        except LedgerError as error:
            if not self._is_behind:
                _log.warning("%s; readers read the chains meanwhile", error)
            self._is_behind = True
            return frozenset()
        self._is_behind = False
        self._changed.clear()
        settled = frozenset(entry.study for entry in entries if not entry.is_live)
        with self._lock:
            for study in settled:
                self._account.forget(study)
        self._young = {
            study: until
            for study, until in self._young.items()
            if until > now and study not in settled
        }
        return settled

    def close(self) -> None:
        """Write what is left, close the read model."""
        self.write()
        self._projection.close()

    def _rows_of(
        self, studies: set[str] | frozenset[str], upto: Mapping[str, int]
    ) -> tuple[Recorded, ...]:
        return tuple(_up_to(upto, self._ledger.timelines(studies))) if studies else ()

    def _horizon(self, arrived_since: float) -> Horizon:
        return Horizon(arrived_since, self._clock.now() - ASKED_WITHIN)


def _left_at(ledger: SqliteLedger, now: float) -> float:
    """Return when an earlier run last did something, or ended; now where there was none.

    What it collected is lost with its memory, however long nobody starts another. A start that came
    to nothing does not count.
    """
    for row in ledger.newest_first():
        if not (isinstance(row.event, ServiceMarked) and row.event.what == "started"):
            return min(now, row.at)
    return now


def _up_to(positions: Mapping[str, int], rows: Sequence[Recorded]) -> list[Recorded]:
    return [row for row in rows if row.sequence <= positions.get(row.chain, 0)]
