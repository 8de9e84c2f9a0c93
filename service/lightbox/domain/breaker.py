"""When a model is asked no more: after several unsound outputs in a row, until one is sound again.

::

    CLOSED ──n failures in a row──▶ OPEN ──its time has passed──▶ PROBING
      ▲                              ▲                               │
      └───────────── a sound output ─┼───────────────────────────────┤
                                     └────── another unsound one ────┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FAILURES = 3
"""Unsound outputs in a row that open it."""
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0
"""Seconds that it stays open; they double with each probe that fails."""


class BreakerState(StrEnum):
    """Whether a model is asked."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Breaker:
    """One model's breaker; time is seconds of a clock that never goes back.

    Attributes
    ----------
    failures : int
        Unsound outputs in a row.
    until : float
        Open: when one job may try again.
    wait : float
        How long it stays open next time.
    reason : str
        Of the newest failure.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    until: float = 0.0
    wait: float = FIRST_WAIT
    reason: str = ""

    def allows(self, now: float) -> bool:
        """Say whether a job may ask the model: always, never, or one of them as a probe."""
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return now >= self.until
            case BreakerState.PROBING:
                return False

    def asked(self) -> Breaker:
        """Take in that a job which was allowed asks: an open one is being probed."""
        is_probe = self.state is BreakerState.OPEN
        return replace(self, state=BreakerState.PROBING) if is_probe else self

    def sound(self) -> Breaker:
        """Take in a sound output."""
        return Breaker()

    def unsound(self, now: float, reason: str) -> Breaker:
        """Take in an unsound output."""
        failures = self.failures + 1
        if self.state is BreakerState.CLOSED and failures < FAILURES:
            return replace(self, failures=failures, reason=reason)
        return Breaker(
            state=BreakerState.OPEN,
            failures=failures,
            until=now + self.wait,
            wait=min(2 * self.wait, LONGEST_WAIT),
            reason=reason,
        )

    def neither(self, now: float) -> Breaker:
        """Take in that a job ended without an output: a probe has told nothing, another may try."""
        is_probe = self.state is BreakerState.PROBING
        return replace(self, state=BreakerState.OPEN, until=now) if is_probe else self
