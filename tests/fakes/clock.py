"""A clock that stands still until a test moves it."""

from __future__ import annotations


class FakeClock:
    """Time as a test wants it; both clocks advance together."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        """Return seconds since 1970, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forth or back, as NTP or a person does."""
        self._now += seconds
