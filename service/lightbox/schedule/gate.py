"""The gate before the device: one holder at a time, the most urgent first.

STAT goes before all, then HIGH, then ROUTINE by deadline. Audits run between fast jobs; while
fast jobs (not STAT) wait they still get a minimum share of the device, so that they do not
starve. Nobody is thrown out: a long holder asks ``give_way`` between two chunks. How long an audit
kept others waiting at a stretch is measured: that is the bound which its chunks are made for.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lightbox.domain.urgency import Urgency
from lightbox.ports import Clock

_MOST_CREDIT = 1.0
"""Seconds of device time that may be owed at most, in either direction."""


@dataclass(frozen=True, slots=True)
class Waited:
    """One wait for the device.

    Attributes
    ----------
    seconds : float
        From wanting the device to having it.
    behind_audit : float or None
        Of these, the longest stretch that an audit held it; None where no audit did.
    """

    urgency: Urgency
    seconds: float
    behind_audit: float | None = None


def _unobserved(_: Waited) -> None:
    """Measure nothing."""


def _uncounted(_urgency: Urgency, _seconds: float) -> None:
    """Count nothing."""


@dataclass(slots=True, eq=False)
class _Ticket:
    urgency: Urgency
    deadline: float
    number: int
    stretch: float | None = None
    longest: float | None = None

    @property
    def order(self) -> tuple[int, float, int]:
        return self.urgency.rank, self.deadline, self.number

    def behind_audit(self, seconds: float) -> None:
        """Count time in which an audit holds the device."""
        self.stretch = (self.stretch or 0.0) + seconds
        self.longest = max(self.longest or 0.0, self.stretch)


class Turn:
    """What the holder of the gate has in hand.

    Attributes
    ----------
    waited : float
        Seconds waited for the gate, all pauses together.
    """

    def __init__(self, gate: Gate, urgency: Urgency, deadline: float) -> None:
        self._gate = gate
        self._urgency = urgency
        self._deadline = deadline
        self._held = False
        self.waited = 0.0

    def give_way(self) -> bool:
        """Let whoever is entitled go first, then go on; say whether somebody did."""
        if not self._gate.urgent_waiting(self._urgency):
            return False
        self.leave()
        self.enter()
        return True

    def enter(self) -> None:
        """Wait for the gate and take it."""
        self.waited += self._gate.acquire(self._urgency, self._deadline)
        self._held = True

    def leave(self) -> None:
        """Give the gate back, if it is held."""
        if self._held:
            self._held = False
            self._gate.release()


class Gate:
    """Gives the device to one thread at a time.

    Parameters
    ----------
    min_share : float
        Share of the device, 0 to 1, that audits get while fast jobs other than STAT wait.
    clock : Clock
        Measures waits and shares (monotonic).
    observe : callable (Waited) → None
        Is told how long each turn waited, outside of the lock.
    used : callable (urgency, seconds) → None
        Is told how long each turn had the device, outside of the lock.
    """

    def __init__(
        self,
        min_share: float,
        clock: Clock,
        observe: Callable[[Waited], None] = _unobserved,
        used: Callable[[Urgency, float], None] = _uncounted,
    ) -> None:
        self._min_share = min_share
        self._clock = clock
        self._observe = observe
        self._used = used
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[_Ticket] = []
        self._holder: _Ticket | None = None
        self._taken_at = 0.0
        self._settled_at = 0.0
        self._credit = 0.0

    def configure(self, min_share: float) -> None:
        """Give audits another share from now on."""
        with self._changed:
            self._min_share = min_share

    @contextmanager
    def turn(self, urgency: Urgency, deadline: float = 0.0) -> Iterator[Turn]:
        """Hold the device for the length of the block; ``deadline`` orders equals."""
        turn = Turn(self, urgency, deadline)
        turn.enter()
        try:
            yield turn
        finally:
            turn.leave()

    def urgent_waiting(self, urgency: Urgency) -> bool:
        """Say whether somebody else would go first if a holder of this urgency gave way now."""
        with self._changed:
            self._settle()
            return any(self._goes_first(t.urgency, urgency) for t in self._waiting)

    def waiting(self) -> tuple[Urgency, ...]:
        """Return the urgencies that wait, in the order in which they came."""
        with self._changed:
            return tuple(ticket.urgency for ticket in self._waiting)

    def acquire(self, urgency: Urgency, deadline: float) -> float:
        """Wait for the device and take it; return the seconds waited."""
        with self._changed:
            self._settle()
            since = self._clock.monotonic()
            ticket = _Ticket(urgency, deadline, next(self._numbers))
            self._waiting.append(ticket)
            self._changed.notify_all()
            try:
                while self._holder is not None or self._next() is not ticket:
                    self._changed.wait()
            finally:
                self._settle()
                self._waiting.remove(ticket)
            self._holder = ticket
            self._taken_at = self._clock.monotonic()
            waited = self._taken_at - since
        self._observe(Waited(urgency, waited, ticket.longest))
        return waited

    def release(self) -> None:
        """Give the device back and settle what audits and fast jobs owe each other."""
        with self._changed:
            self._settle()
            holder, self._holder = self._holder, None
            seconds = self._clock.monotonic() - self._taken_at
            for ticket in self._waiting:
                ticket.stretch = None
            self._changed.notify_all()
        if holder is not None:
            self._used(holder.urgency, seconds)

    def _next(self) -> _Ticket:
        first = min(self._waiting, key=lambda ticket: ticket.order)
        audits = [t for t in self._waiting if t.urgency is Urgency.AUDIT]
        if audits and self._goes_first(Urgency.AUDIT, first.urgency):
            return min(audits, key=lambda ticket: ticket.order)
        return first

    def _goes_first(self, one: Urgency, other: Urgency) -> bool:
        """Say whether ``one`` goes before ``other`` with what audits are owed now."""
        if Urgency.STAT in (one, other):
            return one is not other and one is Urgency.STAT
        if one is Urgency.AUDIT:
            return other is not Urgency.AUDIT and self._credit > 0
        if other is Urgency.AUDIT:
            return self._credit <= 0
        return one.rank < other.rank

    def _settle(self) -> None:
        """Count the time since the last change: what audits earned, or spent.

        Only time that both sides want counts: an idle device owes nobody anything.
        """
        now = self._clock.monotonic()
        held, self._settled_at = now - self._settled_at, now
        if self._holder is None:
            return
        if self._holder.urgency is Urgency.AUDIT:
            for ticket in self._waiting:
                ticket.behind_audit(held)
        if self._holder.urgency is Urgency.STAT:
            return
        wanted = {ticket.urgency for ticket in self._waiting}
        earned = 0.0
        if self._holder.urgency is not Urgency.AUDIT:
            earned = self._min_share * held if Urgency.AUDIT in wanted else 0.0
        elif wanted & {Urgency.HIGH, Urgency.ROUTINE}:
            earned = -(1.0 - self._min_share) * held
        self._credit = max(-_MOST_CREDIT, min(_MOST_CREDIT, self._credit + earned))
