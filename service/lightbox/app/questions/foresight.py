"""Control says which studies will miss their deadline while there is still time to do something."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Recorded
from lightbox.domain.forecast import Forecast
from lightbox.domain.urgency import Urgency
from lightbox.ports import Clock, Ledger
from lightbox.schedule.queues.lines import LINES

_LOOK_EVERY = 0.25
_REST = 20.0
"""Looking may take one part in so many of control's time, however many jobs wait."""

_log = logging.getLogger(__name__)


class Foresight:
    """Follows the ledger and writes down what it foresees.

    Parameters
    ----------
    ledger : Ledger
        Gets one row for each deadline that is expected to be missed.
    tell : callable
        Is told how many open jobs that are, by urgency.
    clock : Clock
        Time.
    """

    def __init__(
        self, ledger: Ledger, tell: Callable[[Mapping[Urgency, int]], None], clock: Clock
    ) -> None:
        self._ledger = ledger
        self._tell = tell
        self._clock = clock
        self._forecast = Forecast({urgency: line.concurrency for urgency, line in LINES.items()})
        self._next = 0.0
        self._every = _LOOK_EVERY

    def follow(self, rows: Sequence[Recorded]) -> None:
        """Take rows in, in the order of time."""
        for row in rows:
            self._forecast.observe(row)

    def look(self) -> None:
        """Look a few times a second; say each expected miss once."""
        began = self._clock.monotonic()
        if began < self._next:
            return
        # As things will stand when the next look is late: what waits until then is said now.
        misses = self._forecast.misses(self._clock.now() + 2 * self._every)
        if misses:
            try:
                self._ledger.record(*misses)
            except LedgerError as error:
                _log.error("expected misses are not recorded: %s", error)  # one line for people
            _log.warning("expected to miss their deadline: %d jobs more", len(misses))
        self._tell(self._forecast.at_risk())
        ended = self._clock.monotonic()
        self._every = max(_LOOK_EVERY, _REST * (ended - began))
        self._next = ended + self._every
