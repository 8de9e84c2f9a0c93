"""What is known of one job, and how far that means it has come.

Facts are kept, states are derived: whatever order the events come in, the same facts give the
same state. An attempt at delivery outweighs another by its number, a success outweighs them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar, assert_never, cast

from lightbox.domain.commitment import CommitmentFailed, Committed
from lightbox.domain.events import (
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    JobFailed,
    JobMoved,
    JobRetried,
    JobStarted,
    MissExpected,
    NotTaken,
    Predicted,
    ResultsWritten,
)
from lightbox.domain.jobs import Job, Wait, moved, while_it_waits
from lightbox.domain.result import ListedReason
from lightbox.domain.standing import DeliveryStanding, DeliveryState, JobStanding, JobState

Progress = (
    JobStarted
    | Predicted
    | Attributed
    | ResultsWritten
    | JobFailed
    | JobRetried
    | JobMoved
    | MissExpected
)
Attempt = Delivered | DeliveryDelayed | DeadLettered | DeliveryRevived | NotTaken


_K = TypeVar("_K")
_V = TypeVar("_V")
_NOTHING: Mapping[object, object] = MappingProxyType({})


def nothing() -> Mapping[_K, _V]:
    """Return the one empty mapping: most jobs never need another, and many wait in memory."""
    return cast("Mapping[_K, _V]", _NOTHING)


@dataclass(slots=True)
class JobFacts:
    """Collects the events of one job; ``job`` is None until it is known to be placed.

    ``current`` is the newest attempt that is known of: failures of earlier ones count no more.
    ``content`` is what a fast job runs on, the object that its ready unit has too.
    """

    job: Job | None = None
    current: int = 1
    started: int = 0
    predicted: Predicted | None = None
    attributed: Attributed | None = None
    written: ResultsWritten | None = None
    written_at: float = 0.0
    failures: Mapping[int, tuple[float, JobFailed]] = field(default_factory=nothing)
    move: JobMoved | None = None
    waits: frozenset[Wait] = frozenset()
    content: tuple[str, frozenset[tuple[str, str]]] | None = None
    expected: Mapping[float, float] = field(default_factory=nothing)
    successors: frozenset[str] = frozenset()
    attempts: Mapping[tuple[str, str], tuple[float, Attempt]] = field(default_factory=nothing)
    commitments: Mapping[tuple[str, str], bool] = field(default_factory=nothing)
    unkept: Mapping[tuple[str, str], tuple[float, DeadLettered]] = field(default_factory=nothing)

    @property
    def failed(self) -> JobFailed | None:
        """How the newest attempt failed, None where it did not."""
        found = self.failures.get(self.current)
        return found[1] if found else None

    def now(self, job: Job) -> Job:
        """Return the job with the urgency and the deadline that it has now."""
        move = self.move
        if move is not None:
            job = moved(job, move.urgency, move.deadline, move.rule, move.move)
        return while_it_waits(job, self.waits)

    def is_named(self, uid: str) -> bool:
        """Say whether a UID is that of its study, of one of its instances or of its results."""
        if self.job is None:
            return False
        results = self.written.results if self.written else ()
        return (
            uid == self.job.study_instance_uid
            or any(uid == instance.sop_instance_uid for instance in self.job.instances)
            or any(uid == result.sop_instance_uid for result in results)
        )

    def progress(self, event: Progress, at: float) -> None:
        """Take in that a step did its part, that the job failed, or that it is tried again."""
        match event:
            case JobStarted():
                self.started = max(self.started, event.attempt)
                self.current = max(self.current, event.attempt)
            case Predicted():
                self.predicted = event
            case Attributed():
                self.attributed = event
            case ResultsWritten():
                self.written, self.written_at = event, at
            case JobFailed():
                self.failures = {event.attempt: (at, event), **self.failures}
                self.current = max(self.current, event.attempt)
            case JobRetried():
                self.current = max(self.current, event.attempt)
            case MissExpected():
                self.expected = {**self.expected, event.deadline: event.expected_at}
            case JobMoved():
                if self.move is None or event.move > self.move.move:
                    self.move = event
            case _:
                assert_never(event)

    def attempt(self, event: Attempt, at: float) -> None:
        """Take in an attempt to deliver one of the results."""
        name = (event.sop_instance_uid, event.destination)
        if isinstance(event, DeadLettered) and event.again:
            known = self.unkept.get(name)
            if known is None or known[1].again < event.again:
                self.unkept = {**self.unkept, name: (at, event)}
        if isinstance(event, DeliveryDelayed) and not event.is_tried:
            self.waits |= {Wait(at, event.retry_at)}
        newest = self.attempts.get(name)
        if newest is None:
            self.attempts = {**self.attempts, name: (at, event)}
            return
        if isinstance(event, Delivered) and isinstance(newest[1], Delivered):
            at = min(at, newest[0])  # the deadline is judged by when it was stored first
            event = max(event, newest[1], key=_weight)
        elif _weight(event) <= _weight(newest[1]):
            return
        self.attempts = {**self.attempts, name: (at, event)}

    def ask(self, sop_instance_uid: str, destination: str) -> None:
        """Take in that a destination is asked to commit to one of the results."""
        self.commitments = {(sop_instance_uid, destination): False, **self.commitments}

    def commitment(self, event: Committed | CommitmentFailed) -> None:
        """Take in an answer; a promise outweighs every other."""
        name = (event.sop_instance_uid, event.destination)
        given = isinstance(event, Committed)
        said = given or self.commitments.get(name, False)
        self.commitments = {**self.commitments, name: said}

    def deliveries(self, destinations: Iterable[str]) -> Iterator[DeliveryStanding]:
        """Yield how each result stands at each of these destinations, where it is meant for them."""
        if self.job is None or self.written is None:
            return
        meant = self.written.destinations
        names = tuple(name for name in destinations if not meant or name in meant)
        for result in self.written.results:
            for destination in names:
                name = (result.sop_instance_uid, destination)
                tried = self.attempts.get(name)
                pending = DeliveryStanding(
                    self.job,
                    result,
                    destination,
                    DeliveryState.PENDING,
                    is_committed=self.commitments.get(name),
                )
                found = _delivery(pending, *tried) if tried else pending
                yield self._with_alarm(found, name)

    def _with_alarm(self, found: DeliveryStanding, name: tuple[str, str]) -> DeliveryStanding:
        """Add that it was given up as "stored but not committed", until it is stored again."""
        given_up = self.unkept.get(name)
        if given_up is None or found.is_committed or found.state is not DeliveryState.DELIVERED:
            return found
        stored = self.attempts[name][1]
        if isinstance(stored, Delivered) and stored.again >= given_up[1].again:
            return found
        return replace(found, given_up=given_up[1].reason, given_up_at=given_up[0])

    def standing(self, job: Job, destinations: Iterable[str]) -> JobStanding:
        """Return the job as it stands, given who is to get its results."""
        meant = self.written.destinations if self.written else ()
        deliveries = tuple(self.deliveries(meant or destinations))
        state = self._state(deliveries)
        reason, detail, ended_at = self._end(state, deliveries)
        now = self.now(job if self.current == 1 else replace(job, attempt=self.current))
        return JobStanding(
            job=now,
            state=state,
            prediction=self.predicted.prediction if self.predicted else None,
            record=self.attributed.record if self.attributed else None,
            results=self.written.results if self.written else (),
            deliveries=deliveries,
            ended_at=ended_at,
            reason=reason,
            detail=detail,
            is_superseded=bool(self.successors),
            expected_at=0.0 if state.is_end else self.expected.get(now.deadline, 0.0),
        )

    def _state(self, deliveries: tuple[DeliveryStanding, ...]) -> JobState:
        if self.written is not None:
            return _state_of_results(self.written, deliveries)
        if self.failed is not None:
            return JobState.FAILED
        if self.attributed is not None:
            return JobState.ATTRIBUTED
        if self.predicted is not None:
            return JobState.PREDICTED
        return JobState.STARTED if self.started >= self.current else JobState.PLACED

    def _end(
        self, state: JobState, deliveries: tuple[DeliveryStanding, ...]
    ) -> tuple[str, str, float]:
        if state is JobState.FAILED and self.failed:
            failed_at = self.failures[self.current][0]
            return self.failed.reason, self.failed.detail, failed_at
        if state is JobState.WITHHELD and self.written:
            detail = self.written.withheld or "there was nothing to make or nobody to take it"
            return ListedReason.WITHHELD, detail, self.written_at
        if state is JobState.DEAD_LETTER:
            dead = next(d for d in deliveries if d.state is DeliveryState.DEAD_LETTER)
            return ListedReason.DEAD_LETTER, f"{dead.destination}: {dead.reason}", dead.at
        if state is JobState.DELIVERED:
            arrivals = (d.at for d in deliveries if d.state is DeliveryState.DELIVERED)
            return "", "", max(arrivals, default=self.written_at)
        return "", "", 0.0


def _state_of_results(
    written: ResultsWritten, deliveries: tuple[DeliveryStanding, ...]
) -> JobState:
    states = {delivery.state for delivery in deliveries}
    if not written.results or states == {DeliveryState.NOT_TAKEN}:
        return JobState.WITHHELD
    if not all(state.is_end for state in states):
        return JobState.WRITTEN
    if DeliveryState.DEAD_LETTER in states:
        return JobState.DEAD_LETTER
    return JobState.WITHHELD if written.withheld else JobState.DELIVERED


def _weight(event: Attempt) -> tuple[int, int, float]:
    match event:
        case Delivered():
            return (2, event.attempt, 0.0)
        case NotTaken():
            return (1, 0, 0.0)
        case DeliveryDelayed():
            return (0, 3 * event.attempt, event.retry_at)
        case DeadLettered():
            return (0, 3 * event.attempt + 1, 0.0)
        case DeliveryRevived():
            return (0, 3 * event.attempt + 2, 0.0)
        case _:
            assert_never(event)


def _delivery(pending: DeliveryStanding, at: float, newest: Attempt) -> DeliveryStanding:
    tried = replace(pending, at=at)
    match newest:
        case Delivered():
            done = DeliveryState.DELIVERED
            return replace(tried, state=done, attempt=newest.attempt, reason=newest.note)
        case DeadLettered():
            dead = DeliveryState.DEAD_LETTER
            return replace(tried, state=dead, attempt=newest.attempt, reason=newest.reason)
        case NotTaken():
            return replace(tried, state=DeliveryState.NOT_TAKEN, reason=newest.reason)
        case DeliveryRevived():
            return replace(tried, attempt=newest.attempt, reason=f"sent again by {newest.by}")
        case DeliveryDelayed():
            return replace(
                tried,
                state=DeliveryState.DELAYED,
                attempt=newest.attempt,
                reason=newest.reason,
                retry_at=newest.retry_at,
            )
        case _:
            assert_never(newest)
