"""When a series is complete enough: a rule about moments, with no clock of its own.

The standard has no "study complete" (PS3.4 Annex B only stores), so silence has to do: the series
is ready when every association that brought it has ended and a quiet period has passed. A sender
that keeps its association open for ever must not stall anything, so ``force_after`` bounds the
wait after the last instance.
"""

from __future__ import annotations

from lightbox.domain.urgency import Urgency


def quiet_period(urgency: Urgency, *, ordinary: float, urgent: float) -> float:
    """Return the silence, in seconds, that a series of this urgency waits for."""
    return urgent if urgency in (Urgency.STAT, Urgency.HIGH) else ordinary


def ready_at(
    last_received: float, last_released: float | None, quiet: float, force_after: float
) -> float:
    """Return the moment from which a series is ready.

    Parameters
    ----------
    last_received : float
        When the last byte of its last instance was read, seconds since 1970.
    last_released : float or None
        When the last of the associations that brought it ended; None while one is open.
    quiet : float
        Silence to wait for, seconds, counted from the later of the two.
    force_after : float
        At the latest so long after the last instance, whatever the associations do.

    Returns
    -------
    float
        Seconds since 1970; never before ``last_received``, never after it plus ``force_after``.
    """
    forced = last_received + force_after
    if last_released is None:
        return forced
    return min(max(last_received, last_released) + quiet, forced)
