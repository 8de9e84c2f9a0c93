"""What other programs are told, when, and what became of telling them.

A notification is derived from what happened, never drawn: the same happening gives the same one,
whether it is seen live or found in the ledger after a restart. What is still to be told is what
happened minus what ``NotificationSent`` and ``NotificationDropped`` say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, TypeAlias

from lightbox.domain.audit import contradicts
from lightbox.domain.identity import derived_id
from lightbox.domain.jobs import JobPath
from lightbox.domain.prediction import Prediction
from lightbox.domain.result import ListedReason, Result
from lightbox.domain.standing import DeliveryState, JobStanding, JobState


class Happening(StrEnum):
    """What a program can be told of."""

    RESULT = "result"
    """All results of a job are stored where they belong."""
    FAILURE = "failure"
    """A study gets no result, or a destination did not take one."""
    MISSED_DEADLINE = "missed_deadline"
    """A job was not stored in time; it may still be."""
    CONTRADICTION = "contradiction"
    """An audit disagrees with the picture that was sent before it."""


_NOT_ANALYSED = frozenset(
    {ListedReason.UNREADABLE, ListedReason.CONFLICT, ListedReason.NOT_APPLICABLE}
)
"""Reasons why an accepted instance gets no job, of which somebody should hear."""
_UNTOLD = frozenset(
    {
        ListedReason.CANCELLED,
        ListedReason.REJECTED,
        ListedReason.SUPERSEDED,
        ListedReason.DUPLICATE,
    }
)
"""Ends that a person chose or that another result stands for."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing that happened.

    Attributes
    ----------
    name : str
        Derived identifier; the receiver knows a repetition by it.
    at : float
        When it happened, seconds since 1970.
    reason : str
        Of a failure: from a closed set, without anything of the patient.
    destination : str
        Where it concerns one.
    detail : str
        Sentence for people; may name what a header said.
    standing : JobStanding or None
        The job; None for instances that got none.
    """

    name: str
    about: Happening
    study: str
    at: float
    reason: str = ""
    destination: str = ""
    detail: str = ""
    standing: JobStanding | None = field(default=None, compare=False)

    @property
    def prediction(self) -> Prediction | None:
        """What the model said, where that is known."""
        return self.standing.prediction if self.standing else None

    @property
    def results(self) -> tuple[Result, ...]:
        """The objects that it is about."""
        return self.standing.results if self.standing else ()


def of_job(standing: JobStanding, now: float) -> Iterator[Notification]:
    """Yield everything that has happened to a job so far, in no order."""
    job = standing.job
    if standing.is_superseded:
        return
    if standing.state is JobState.DELIVERED:
        yield _of(standing, Happening.RESULT, standing.ended_at)
    elif standing.state is JobState.FAILED and standing.reason not in _UNTOLD:
        yield _failed(standing, str(job.attempt), standing.reason, standing.detail)
    elif standing.state is JobState.WITHHELD and standing.results:  # a note went instead
        yield _failed(standing, "withheld", ListedReason.WITHHELD, standing.detail)
    for delivery in standing.deliveries:
        if delivery.state is DeliveryState.DEAD_LETTER:
            which = f"{delivery.result.sop_instance_uid} {delivery.destination} {delivery.attempt}"
            yield replace(
                _of(standing, Happening.FAILURE, delivery.at, which),
                reason=ListedReason.DEAD_LETTER,
                destination=delivery.destination,
                detail=delivery.reason,
            )
    if _is_late(standing, now):
        yield _of(standing, Happening.MISSED_DEADLINE, job.deadline)
    record = standing.record
    if job.path is JobPath.AUDIT and record is not None and contradicts(record.quality):
        agreement = record.quality.get("agreement", 0.0)
        detail = f"rank correlation of the audit with the fast map: {agreement:.2f}"
        found = _of(standing, Happening.CONTRADICTION, standing.ended_at or now)
        yield replace(found, detail=detail)


def of_instance(study: str, reason: ListedReason, detail: str, at: float) -> Iterator[Notification]:
    """Yield what is to be told of an instance that gets no job: once for a study and a reason."""
    if reason in _NOT_ANALYSED:
        name = derived_id("notification", study, Happening.FAILURE, reason)
        yield Notification(name, Happening.FAILURE, study, at, reason, detail=detail)


def _is_late(standing: JobStanding, now: float) -> bool:
    if not standing.state.is_end:
        return now > standing.job.deadline
    return standing.state is JobState.DELIVERED and standing.ended_at > standing.job.deadline


def _failed(standing: JobStanding, which: str, reason: str, detail: str) -> Notification:
    found = _of(standing, Happening.FAILURE, standing.ended_at, which)
    return replace(found, reason=reason, detail=detail)


def _of(standing: JobStanding, about: Happening, at: float, which: str = "") -> Notification:
    job = standing.job
    name = derived_id("notification", job.job_id, about, which)
    return Notification(name, about, job.study_instance_uid, at, standing=standing)


@dataclass(frozen=True, slots=True)
class WebhookKnown:
    """app.webhooks: a webhook was configured; what happened before is not told to it."""

    webhook: str
    at: float
    kind: Literal["webhook_known"] = "webhook_known"

    @property
    def study(self) -> str:
        """None in particular."""
        return ""

    @property
    def key(self) -> str:
        """One per webhook."""
        return f"{self.kind}:{self.webhook}"


@dataclass(frozen=True, slots=True)
class _OfNotification:
    study_instance_uid: str
    notification: str
    about: Happening
    webhook: str
    attempt: int

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid


@dataclass(frozen=True, slots=True)
class NotificationSent(_OfNotification):
    """deliver.webhooks: the program answered that it has it."""

    kind: Literal["notification_sent"] = "notification_sent"

    @property
    def outcome(self) -> str:
        """Label in metrics."""
        return "sent"

    @property
    def key(self) -> str:
        """One per notification and webhook."""
        return f"{self.kind}:{self.notification}:{self.webhook}"


@dataclass(frozen=True, slots=True)
class NotificationDelayed(_OfNotification):
    """deliver.webhooks: it waits for another attempt; 0 is before the first one."""

    reason: str
    retry_at: float
    kind: Literal["notification_delayed"] = "notification_delayed"

    @property
    def outcome(self) -> str:
        """Label in metrics."""
        return "delayed"

    @property
    def key(self) -> str:
        """One per notification, webhook and attempt."""
        return f"{self.kind}:{self.notification}:{self.webhook}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class NotificationDropped(_OfNotification):
    """deliver.webhooks: given up, with the reason; results are not touched by it."""

    reason: str
    kind: Literal["notification_dropped"] = "notification_dropped"

    @property
    def outcome(self) -> str:
        """Label in metrics."""
        return "dropped"

    @property
    def key(self) -> str:
        """One per notification and webhook."""
        return f"{self.kind}:{self.notification}:{self.webhook}"


NotificationEvent: TypeAlias = NotificationSent | NotificationDelayed | NotificationDropped
