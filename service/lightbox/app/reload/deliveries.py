"""The outboxes of the destinations, and how they change while results wait in them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from lightbox.deliver.outbox import Parcel
from lightbox.deliver.send import Send
from lightbox.domain.events import NotTaken
from lightbox.ports import Ledger
from lightbox.settings import DestinationSettings

_PATIENCE = 60.0
"""Seconds that the result in hand may take before its outbox is handed over without it."""

Make = Callable[[DestinationSettings], Send]


class Deliveries:
    """Keeps one outbox a destination.

    Parameters
    ----------
    given : sequence of DestinationSettings
        The destinations at the start.
    make : callable
        Makes the outbox of one.
    ledger : Ledger
        Gets what is not sent any more because its destination is gone.
    """

    def __init__(self, given: Sequence[DestinationSettings], make: Make, ledger: Ledger) -> None:
        self._make = make
        self._ledger = ledger
        self._given = {each.name: each for each in given}
        self.sends: Mapping[str, Send] = {name: make(each) for name, each in self._given.items()}

    def start(self) -> None:
        """Start delivering."""
        for send in self.sends.values():
            send.start()

    def renew(self, given: Sequence[DestinationSettings]) -> Callable[[], None]:
        """Make what the new destinations need; return what puts it in place of the old.

        What waits for a destination that has changed goes the new way, with the tries that it had;
        what waits for one that is gone is settled with that reason.

        Raises
        ------
        ConfigurationError
            If an outbox cannot be made; nothing has changed then.
        """
        wanted = {each.name: each for each in given}
        fresh = {
            name: self._make(each) for name, each in wanted.items() if self._given.get(name) != each
        }

        def put_in_place() -> None:
            before, self._given = self.sends, wanted
            self.sends = {name: fresh.get(name) or before[name] for name in wanted}
            for name, old in before.items():
                if self.sends.get(name) is not old:
                    self._replace(name, old, fresh.get(name))
            for name in fresh.keys() - before.keys():
                fresh[name].start()

        return put_in_place

    def close(self, seconds: float) -> None:
        """Stop delivering, all at the same time; what waits stays in the ledger."""
        closing = [
            threading.Thread(target=send.close, args=(seconds,), name=f"close-{name}")
            for name, send in self.sends.items()
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _replace(self, name: str, old: Send, new: Send | None) -> None:
        """Empty one outbox into another; beside the work, for the result in hand is finished.

        An outbox may be replaced again before it is given anything: it passes that on, too.
        """

        def settle(parcel: Parcel) -> None:
            why = "the configuration has no destination of this name any more"
            self._ledger.record(not_taken(name, parcel, why))

        def hand_over() -> None:
            old.close(_PATIENCE)
            old.hand_over(settle if new is None else new.resume)
            if new is not None:
                new.start()

        threading.Thread(target=hand_over, name=f"hand-over-{name}", daemon=True).start()


def not_taken(destination: str, parcel: Parcel, why: str) -> NotTaken:
    """Return the event that a destination does not get a result."""
    uid = parcel.result.sop_instance_uid
    return NotTaken(parcel.study, parcel.job_id, uid, destination, why)
