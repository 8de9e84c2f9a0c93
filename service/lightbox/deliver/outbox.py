"""What waits for one destination, and what goes next: a value without threads and without a clock.

Results of one study leave in the order in which they were written: one that waits for its next
try holds the later ones of its study back, and no other study. Among studies the most urgent
goes first, then the one that has waited longest.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from lightbox.domain.commitment import CommitmentFailed, Committed
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    Event,
    JobMoved,
    JobPlaced,
    NotTaken,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.result import Result
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings


@dataclass(frozen=True, slots=True)
class Parcel:
    """A result on its way to one destination.

    Attributes
    ----------
    attempt : int
        Attempts so far; the next one is one more.
    retry_at : float
        Not before this time: seconds since 1970; inside of an outbox, of its owner's monotonic
        clock. 0 is at once.
    given_up_at : int
        Attempt at which it last became a dead letter or was last stored, 0 if never: tries count
        from there.
    again : int
        How often it was stored without being committed to, see :class:`Delivered`.
    number : int
        Of its arrival in the outbox, which sets it.
    """

    job_id: str
    study: str
    result: Result
    urgency: Urgency = Urgency.ROUTINE
    attempt: int = 0
    retry_at: float = 0.0
    given_up_at: int = 0
    again: int = 0
    number: int = field(default=0, compare=False)


_Waiting = list[Parcel]
"""The parcels of one study: a few, so a list takes less memory than a queue."""


class Outbox:
    """All parcels of one destination. Not thread-safe: its owner holds a lock.

    A study has one entry in one of two heaps at any time, that of its first parcel: ``_ready`` by
    urgency and arrival, ``_waiting`` by the time of its next try.
    """

    def __init__(self) -> None:
        self._studies: dict[str, _Waiting] = {}
        self._count = 0
        self._ready: list[tuple[int, int, str]] = []
        self._waiting: list[tuple[float, int, str]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return self._count

    def put(self, parcel: Parcel) -> bool:
        """Add a parcel behind the others of its study; False if this result is here already."""
        return self._add(parcel, last=True)

    def put_first(self, parcel: Parcel) -> bool:
        """Add a parcel before the others of its study, which must not be taken out."""
        return self._add(parcel, last=False)

    def take(self, now: float) -> Parcel | None:
        """Take out the study whose turn it is and return its first parcel, None if none is due.

        The study stays out until :meth:`done` or :meth:`put_back`.
        """
        while self._waiting and self._waiting[0][0] <= now:
            _, _, study = heapq.heappop(self._waiting)
            parcel = self._studies[study][0]
            heapq.heappush(self._ready, (parcel.urgency.rank, parcel.number, study))
        if not self._ready:
            return None
        return self._studies[heapq.heappop(self._ready)[2]][0]

    def all(self) -> tuple[Parcel, ...]:
        """Return every parcel that is not done, study by study, in its order."""
        return tuple(parcel for of_study in self._studies.values() for parcel in of_study)

    def most_urgent(self, study: str) -> Urgency:
        """Return the highest urgency among the parcels of a study that has any."""
        return min((parcel.urgency for parcel in self._studies[study]), key=lambda u: u.rank)

    def first_of_each_job(self, study: str) -> tuple[Parcel, ...]:
        """Return the first parcel of each job that a study waits with."""
        return tuple({each.job_id: each for each in reversed(self._studies[study])}.values())

    def next_at(self) -> float | None:
        """Return when something is due: 0 is at once, None is not before something arrives."""
        if self._ready:
            return 0.0
        return self._waiting[0][0] if self._waiting else None

    def done(self, parcel: Parcel) -> None:
        """Remove a parcel that was taken; the next one of its study moves up."""
        self._count -= 1
        of_study = self._studies[parcel.study]
        del of_study[0]
        if of_study:
            self._enter(parcel.study)
        else:
            del self._studies[parcel.study]

    def put_back(self, parcel: Parcel) -> None:
        """Return a parcel that was taken, with its new attempt and time, to its place."""
        of_study = self._studies[parcel.study]
        of_study[0] = replace(parcel, number=of_study[0].number)
        self._enter(parcel.study)

    def _add(self, parcel: Parcel, *, last: bool) -> bool:
        name = parcel.result.sop_instance_uid
        of_study = self._studies.setdefault(parcel.study, [])
        if any(other.result.sop_instance_uid == name for other in of_study):
            return False
        self._count += 1
        self._arrivals += 1
        of_study.insert(len(of_study) if last else 0, replace(parcel, number=self._arrivals))
        if len(of_study) == 1:
            self._enter(parcel.study)
        return True

    def _enter(self, study: str) -> None:
        parcel = self._studies[study][0]
        if parcel.retry_at > 0.0:
            heapq.heappush(self._waiting, (parcel.retry_at, parcel.number, study))
        else:
            heapq.heappush(self._ready, (parcel.urgency.rank, parcel.number, study))


def still_to_send(rows: Iterable[Recorded], destination: DestinationSettings) -> tuple[Parcel, ...]:
    """Return what a destination has not got yet, from the rows of all chains, in their order.

    What it did not commit to keeping counts as not got. Dead letters are left out until a person
    revives them, but for those that were given up only because nobody answered.
    """
    read = _read(rows, destination)
    return tuple(
        parcel
        for parcel in read.not_arrived()
        if read.is_unanswered(parcel) or not read.is_dead(parcel)
    )


def dead_letters(rows: Iterable[Recorded], destination: DestinationSettings) -> tuple[Parcel, ...]:
    """Return what was given up for a destination, ready to be queued again with all its tries."""
    read = _read(rows, destination)
    return tuple(filter(read.is_dead, read.not_arrived()))


def _read(rows: Iterable[Recorded], destination: DestinationSettings) -> _Read:
    read = _Read(destination)
    for row in rows:
        read.take_in(row.event)
    return read


class _Read:
    """What the ledger says of one destination's results."""

    def __init__(self, destination: DestinationSettings) -> None:
        self._to = destination
        self._urgencies: dict[str, Urgency] = {}
        self._written: dict[str, Parcel] = {}
        self._delayed: dict[str, DeliveryDelayed] = {}
        self._given_up: dict[str, int] = {}
        self._unanswered: dict[str, int] = {}
        self._revived: dict[str, int] = {}
        self._arrived: set[str] = set()
        self._stored: dict[str, Delivered] = {}

    def take_in(self, event: Event) -> None:
        match event:
            case JobPlaced(job=job):
                self._urgencies[job.job_id] = job.urgency
            case JobMoved():
                self._urgencies[event.job_id] = event.urgency
            case ResultsWritten(results=results):
                mine = (r for r in results if r.kind.value in self._to.kinds)
                for result in mine:
                    parcel = Parcel(event.job_id, event.study, result)
                    self._written.setdefault(result.sop_instance_uid, parcel)
            case DeliveryDelayed(destination=self._to.name, is_tried=True):
                self._delayed[event.sop_instance_uid] = event
            case (
                DeadLettered(destination=self._to.name) | DeliveryRevived(destination=self._to.name)
            ):
                self._give_up_or_revive(event)
            case CommitmentFailed(destination=self._to.name):
                self._arrived.discard(event.sop_instance_uid)
            case Committed(destination=self._to.name) | NotTaken(destination=self._to.name):
                self._arrived.add(event.sop_instance_uid)
            case Delivered(destination=self._to.name):
                self._stored[event.sop_instance_uid] = event
                self._arrived.add(event.sop_instance_uid)
            case _:
                pass

    def _give_up_or_revive(self, event: DeadLettered | DeliveryRevived) -> None:
        if isinstance(event, DeliveryRevived):
            self._revived[event.sop_instance_uid] = event.attempt
            return
        self._given_up[event.sop_instance_uid] = event.attempt
        if event.unanswered:
            self._unanswered[event.sop_instance_uid] = event.attempt
        if event.again:  # stored, but not committed
            self._arrived.discard(event.sop_instance_uid)

    def not_arrived(self) -> Iterator[Parcel]:
        for name, parcel in self._written.items():
            if name not in self._arrived:
                yield self._with_history(name, parcel)

    def is_dead(self, parcel: Parcel) -> bool:
        name = parcel.result.sop_instance_uid
        return self._revived.get(name, 0) < parcel.attempt == self._given_up.get(name, 0)

    def is_unanswered(self, parcel: Parcel) -> bool:
        return self._unanswered.get(parcel.result.sop_instance_uid) == parcel.attempt

    def _with_history(self, name: str, parcel: Parcel) -> Parcel:
        begun, attempt, retry_at, again = self._given_up.get(name, 0), 0, 0.0, 0
        stored = self._stored.get(name)
        if stored is not None:
            begun, again = max(begun, stored.attempt), stored.again + 1
        last = self._delayed.get(name)
        if last is not None:
            attempt, retry_at = last.attempt, last.retry_at
        if begun >= attempt:
            attempt, retry_at = begun, 0.0
        return replace(
            parcel,
            urgency=self._urgencies.get(parcel.job_id, Urgency.ROUTINE),
            attempt=attempt,
            retry_at=retry_at,
            given_up_at=begun,
            again=again,
        )
