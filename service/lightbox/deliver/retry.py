"""When a result is tried again: a pure function, so that a restart computes the same times."""

from __future__ import annotations

from hashlib import sha256

LONGEST = 86400.0
"""Seconds; no wait is longer."""

_JITTER = 0.1


def wait(attempt: int, first: float, name: str) -> float:
    """Return the seconds to wait after a failed attempt.

    Doubles from ``first`` with each attempt, up to a day. The jitter of 10 % either way comes
    from the name, so that results that failed together do not come back together, and the same
    result always comes back at the same time.

    Parameters
    ----------
    attempt : int
        How many attempts have failed, from 1.
    first : float
        Seconds after the first one.
    name : str
        Of the result: its SOP Instance UID.
    """
    doubled = min(first * 2.0 ** min(attempt - 1, 64), LONGEST)
    drawn = int.from_bytes(sha256(f"{name}:{attempt}".encode()).digest()[:8]) / 2**64
    return float(doubled * (1.0 - _JITTER + 2.0 * _JITTER * drawn))
