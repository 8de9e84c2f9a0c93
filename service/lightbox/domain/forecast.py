"""Which studies will miss their deadline, said before they do: from what jobs took lately.

A fold over the ledger's rows. What a job still needs is what is before it in its line, its own
service and its delivery, each as long as those of its kind took lately. Pure: time comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    JobFailed,
    JobMoved,
    JobPlaced,
    JobStarted,
    MissExpected,
    NotTaken,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.jobs import Job, JobPath, Wait, moved, while_it_waits
from lightbox.domain.urgency import AT_ONCE, Urgency

_WEIGHT = 0.2
"""Of the newest measurement in the mean."""


@dataclass(slots=True)
class _Mean:
    """A mean in which what is new weighs more; 0 before anything was measured."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        weight = max(_WEIGHT, 1 / self.count)
        self.seconds += weight * (max(seconds, 0.0) - self.seconds)


@dataclass(slots=True)
class _Open:
    """A fast job whose results are not all stored."""

    job: Job
    started_at: float = 0.0
    written_at: float = 0.0
    retry_at: float = 0.0
    awaited: set[tuple[str, str]] = field(default_factory=set)
    waits: frozenset[Wait] = frozenset()

    @property
    def deadline(self) -> float:
        """Seconds since 1970; it stands still while results wait for a destination's hours."""
        return while_it_waits(self.job, self.waits).deadline

    @property
    def opens(self) -> float:
        """When the hours begin that it waits for, seconds since 1970; 0 where it does not."""
        if self.job.urgency in AT_ONCE:
            return 0.0
        return max((wait.ends for wait in self.waits), default=0.0)


class Forecast:
    """Follows fast jobs and says when each is expected to be stored.

    Parameters
    ----------
    lanes : mapping of Urgency to int
        How many jobs of its line one worker has in hand at once.
    """

    def __init__(self, lanes: Mapping[Urgency, int]) -> None:
        self._lanes = lanes
        self._open: dict[str, _Open] = {}
        self._service: dict[str, _Mean] = {}
        self._delivery = _Mean()
        self._said: dict[str, float] = {}

    def observe(self, recorded: Recorded) -> None:
        """Take one row in; rows come in the order of time."""
        event, at = recorded.event, recorded.at
        if isinstance(event, JobPlaced):
            self._placed(event.job)
            return
        of = self._open.get(getattr(event, "job_id", ""))
        if of is None:
            return
        if isinstance(event, DeliveryDelayed | Delivered | NotTaken | DeadLettered):
            self._of_delivery(of, event, at)
        else:
            self._of_job(of, event, at)

    def expected(self, now: float) -> Mapping[str, float]:
        """Return when each open job is expected to be stored, seconds since 1970."""
        found: dict[str, float] = {}
        before = 0.0
        for name, of in sorted(self._open.items(), key=_order):
            if of.written_at:
                found[name] = max(now, of.retry_at, of.opens) + self._delivery.seconds
                continue
            left = self._mean(of.job.model)
            if of.started_at:
                left = max(left - (now - of.started_at), 0.0)
            waits = 0.0 if of.started_at else before
            found[name] = now + waits + left + self._delivery.seconds
            before += left / self._lanes[of.job.urgency]
        return found

    def misses(self, now: float) -> tuple[MissExpected, ...]:
        """Return what is to be said now: each expected miss once for each deadline it had."""
        events = []
        for name, at in self.expected(now).items():
            job, deadline = self._open[name].job, self._open[name].deadline
            if at > deadline and self._said.get(name) != deadline:
                self._said[name] = deadline
                events.append(MissExpected(job.study_instance_uid, name, at, deadline))
        return tuple(events)

    def at_risk(self) -> Mapping[Urgency, int]:
        """Count the open jobs of which a miss was said, by urgency."""
        counts = Counter(
            of.job.urgency for name, of in self._open.items() if self._said.get(name) == of.deadline
        )
        return {urgency: counts[urgency] for urgency in Urgency}

    def _of_job(self, of: _Open, event: Event, at: float) -> None:
        match event:
            case JobMoved():
                of.job = moved(of.job, event.urgency, event.deadline, event.rule, event.move)
            case JobStarted():
                of.started_at = at
            case ResultsWritten():
                self._written(of, event, at)
            case JobFailed():
                self._over(event.job_id)
            case MissExpected():
                self._said[event.job_id] = event.deadline
            case _:
                pass

    def _of_delivery(
        self, of: _Open, event: DeliveryDelayed | Delivered | NotTaken | DeadLettered, at: float
    ) -> None:
        match event:
            case DeliveryDelayed(is_tried=False):
                of.waits |= {Wait(at, event.retry_at)}
            case DeliveryDelayed():
                of.retry_at = max(of.retry_at, event.retry_at)
            case Delivered():
                self._delivery.add(at - max(of.written_at, min(of.opens, at)))
                self._settled(of, event.sop_instance_uid, event.destination)
            case NotTaken():
                self._settled(of, event.sop_instance_uid, event.destination)
            case DeadLettered():
                self._over(of.job.job_id)
            case _:
                assert_never(event)

    def _placed(self, job: Job) -> None:
        if job.path is JobPath.FAST:
            self._open.setdefault(job.job_id, _Open(job))
            older = self._open.get(job.supersedes)
            if older is not None and not older.written_at:
                self._over(job.supersedes)

    def _written(self, of: _Open, event: ResultsWritten, at: float) -> None:
        if of.started_at:
            self._service.setdefault(of.job.model, _Mean()).add(at - of.started_at)
        of.written_at = at
        of.awaited |= {
            (r.sop_instance_uid, name) for r in event.results for name in event.destinations
        }
        if not of.awaited:
            self._over(event.job_id)

    def _settled(self, of: _Open, sop_instance_uid: str, destination: str) -> None:
        of.awaited.discard((sop_instance_uid, destination))
        if of.written_at and not of.awaited:
            self._over(of.job.job_id)

    def _over(self, job_id: str) -> None:
        self._open.pop(job_id, None)
        self._said.pop(job_id, None)

    def _mean(self, model: str) -> float:
        """Return the mean of a model; of all models where it has none of its own yet."""
        own = self._service.get(model)
        if own is not None:
            return own.seconds
        known = [mean.seconds for mean in self._service.values()]
        return sum(known) / len(known) if known else 0.0


def _order(item: tuple[str, _Open]) -> tuple[int, float, str]:
    job = item[1].job
    return job.urgency.rank, job.deadline, job.job_id
