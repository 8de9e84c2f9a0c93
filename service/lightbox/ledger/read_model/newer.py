"""What the chains got after the read model was last written, laid out in memory over it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from sqlalchemy import Connection, select

from lightbox.domain.account import Account
from lightbox.domain.study_account import Expectations
from lightbox.ledger.read_model.entry import Entry, Horizon, entry_of
from lightbox.ledger.read_model.tables import POSITIONS
from lightbox.ledger.timeline import LedgerReader

_HORIZON = Horizon(arrived_since=float("inf"))
"""A reader resumes nothing: who is live is the writer's question."""


class Newer:
    """Folds the studies that have rows after the read model's positions; keeps them between calls.

    Parameters
    ----------
    reader : LedgerReader
        Of the chains.
    expected : Expectations
        The site's.
    """

    def __init__(self, reader: LedgerReader, expected: Expectations) -> None:
        self._reader = reader
        self._expected = expected
        self._lock = threading.Lock()
        self._base: Mapping[str, int] = {}
        self._reached: Mapping[str, int] = {}
        self._entries: dict[str, Entry] = {}

    def over(self, connection: Connection) -> Mapping[str, Entry]:
        """Return the entries that replace those of the read model, by study.

        Parameters
        ----------
        connection : Connection
            To the read model, in a transaction: what it says stays put meanwhile.
        """
        base = {row.chain: row.sequence for row in connection.execute(select(POSITIONS))}
        with self._lock:
            if base != self._base:
                self._base, self._reached, self._entries = base, base, {}
            newest = self._reader.last_sequences()
            if newest != self._reached:
                self._entries = {**self._entries, **self._folded()}
                self._reached = newest
            return self._entries

    def _folded(self) -> dict[str, Entry]:
        studies = self._reader.studies_after(self._reached)
        account = Account.expecting(self._expected)
        for row in self._reader.timelines(studies):
            account.apply(row)
        return {study: entry_of(account.of(study), _HORIZON) for study in studies}
