"""The circuit breaker of a destination: after a failed connection, ask before the next result."""

from __future__ import annotations

from lightbox.deliver.retry import wait

LONGEST_SILENCE = 60.0
"""Seconds; a destination that has come back is found after this long at the latest."""


class Breaker:
    """Closed while the destination answers; open from a failed connection to an answered echo.

    Parameters
    ----------
    name : str
        Of the destination.
    first : float
        Seconds from the first failure to the first echo; doubles up to ``LONGEST_SILENCE``.
    """

    def __init__(self, name: str, first: float) -> None:
        self._name = name
        self._first = min(first, LONGEST_SILENCE)
        self._failures = 0
        self.probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether results must wait for an echo."""
        return self._failures > 0

    def failed(self, now: float) -> None:
        """Open, or stay open until a later echo."""
        self._failures += 1
        pause = min(wait(self._failures, self._first, self._name), LONGEST_SILENCE)
        self.probe_at = now + pause

    def answered(self) -> None:
        """Close: results flow again."""
        self._failures = 0
        self.probe_at = 0.0
