"""Rows of jobs that ended long ago leave the queue's tables, an hour's worth at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from lightbox.ports import Clock

_log = logging.getLogger(__name__)

_EVERY = 3600.0
_AT_LEAST = 86400.0
"""Seconds that a row stays in any case: longer than any job takes."""


class Upkeep:
    """Asks for it when it is time.

    Parameters
    ----------
    forget : callable (moment, ISO 8601) → int
        Deletes rows of jobs that ended before; see ``DbosQueueClient.forget``.
    clock : Clock
        Tells when.
    """

    def __init__(self, forget: Callable[[str], int], clock: Clock) -> None:
        self._forget = forget
        self._clock = clock
        self._due = clock.monotonic()

    def look(self, older_than: float) -> int:
        """Forget what ended more than so many seconds ago, if it is time; return how many."""
        if self._clock.monotonic() < self._due:
            return 0
        self._due = self._clock.monotonic() + _EVERY
        moment = self._clock.now() - max(older_than, _AT_LEAST)
        try:
            gone = self._forget(datetime.fromtimestamp(moment, tz=UTC).isoformat())
        except Exception as error:  # noqa: BLE001  # the worker outlives a store that is gone
            _log.warning("queue: nothing forgotten, %s", type(error).__name__)
            return 0
        if gone:
            _log.info("queue: %d rows of jobs that ended long ago are gone", gone)
        return gone
