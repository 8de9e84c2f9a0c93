"""What each destination said last: whether it took what it was sent, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.commitment import Committed
from lightbox.domain.events import DeadLettered, Delivered, DeliveryDelayed, Recorded


@dataclass(frozen=True, slots=True)
class LastWord:
    """An answer; ``reason`` is "" where a result was taken, ``retry_at`` 0 where none waits."""

    at: float
    reason: str = ""
    retry_at: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether it took what it was sent."""
        return not self.reason


class LastWords:
    """Follows the ledger; read and fed under control's lock. Before the first row it knows none."""

    def __init__(self) -> None:
        self._said: dict[str, LastWord] = {}

    def take(self, recorded: Recorded) -> None:
        """Take a row in; rows of several chains may come in any order."""
        event = recorded.event
        match event:
            case DeadLettered():
                word = LastWord(recorded.at, event.reason)
            case DeliveryDelayed():
                word = LastWord(recorded.at, event.reason, event.retry_at)
            case Delivered() | Committed():
                word = LastWord(recorded.at)
            case _:
                return
        known = self._said.get(event.destination)
        if known is None or word.at >= known.at:
            self._said[event.destination] = word

    def of(self, destination: str) -> LastWord | None:
        """Return what a destination said last; None where nothing was sent to it yet."""
        return self._said.get(destination)
