"""A ledger in memory: one chain, the same rules, nothing on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from fakes.clock import FakeClock
from lightbox import ports
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Event, Recorded, from_json, to_json


class FakeLedger:
    """Keeps rows in a list; ``fail()`` makes the next records fail as a full disk does."""

    def __init__(self, clock: ports.Clock | None = None, chain: str = "test") -> None:
        self._clock = clock or FakeClock()
        self._chain = chain
        self._rows: list[Recorded] = []
        self._by_key: dict[str, Recorded] = {}
        self._lock = threading.Lock()
        self._broken = ""

    @property
    def rows(self) -> tuple[Recorded, ...]:
        """All rows, in order."""
        return tuple(self._rows)

    @property
    def events(self) -> tuple[Event, ...]:
        """All events, in order."""
        return tuple(row.event for row in self._rows)

    def fail(self, reason: str = "the disk is full") -> None:
        """Refuse every record from now on."""
        self._broken = reason

    def record(self, *events: Event) -> tuple[Recorded, ...]:
        """Append in order; an event whose key is known already returns the old row."""
        with self._lock:
            if self._broken:
                raise LedgerError(f"ledger {self._chain}", self._broken, "make room, start again")
            return tuple(self._append(event) for event in events)

    def begin(self, event: Event) -> Callable[[], Recorded]:
        """Append at once; what is returned tells."""
        try:
            (row,) = self.record(event)
        except LedgerError as error:
            failed = error

            def fail() -> Recorded:
                raise failed

            return fail
        return lambda: row

    def newest_first(self) -> Iterator[Recorded]:
        """Yield all rows, the newest first."""
        return reversed(self.rows)

    def since(self, positions: Mapping[str, int]) -> tuple[Recorded, ...]:
        """Return all rows after the position of this chain."""
        with self._lock:
            return tuple(self._rows[positions.get(self._chain, 0) :])

    def timeline(self, study_instance_uid: str) -> tuple[Recorded, ...]:
        """Return the events of one study."""
        return tuple(
            r for r in self.rows if study_instance_uid and r.event.study == study_instance_uid
        )

    def find(self, key: str) -> Recorded | None:
        """Return the row with this key."""
        return self._by_key.get(key)

    def _append(self, event: Event) -> Recorded:
        known = self._by_key.get(event.key)
        if known is not None:
            return known
        sequence = len(self._rows) + 1
        again = from_json(to_json(event))  # what does not survive the disk must fail here too
        row = Recorded(self._chain, sequence, self._clock.now(), f"{sequence:064x}", again)
        self._rows.append(row)
        self._by_key[event.key] = row
        return row
