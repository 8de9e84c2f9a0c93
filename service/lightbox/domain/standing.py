"""Where things stand: what the account says of instances, jobs, deliveries and studies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lightbox.domain.attribution import AttributionRecord
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.prediction import Prediction
from lightbox.domain.result import Disposition, Result
from lightbox.domain.study import Arrival, Instance


class JobState(StrEnum):
    """How far a job has come; the last four are ends."""

    PLACED = "placed"
    STARTED = "started"
    PREDICTED = "predicted"
    ATTRIBUTED = "attributed"
    WRITTEN = "written"
    DELIVERED = "delivered"
    WITHHELD = "withheld"
    DEAD_LETTER = "dead_letter"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """True where nothing more happens by itself."""
        return self in _ENDS

    @property
    def owner(self) -> str:
        """Step that has to act next; "" at an end."""
        return _OWNERS.get(self, "")


_ENDS = frozenset({JobState.DELIVERED, JobState.WITHHELD, JobState.DEAD_LETTER, JobState.FAILED})
_OWNERS = {
    JobState.PLACED: "schedule",
    JobState.STARTED: "infer",
    JobState.PREDICTED: "explain",
    JobState.ATTRIBUTED: "results",
    JobState.WRITTEN: "deliver",
}


class DeliveryState(StrEnum):
    """What became of a result at one destination."""

    PENDING = "pending"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    DEAD_LETTER = "dead_letter"
    NOT_TAKEN = "not_taken"

    @property
    def is_end(self) -> bool:
        """True where nothing more happens by itself."""
        return self not in {DeliveryState.PENDING, DeliveryState.DELAYED}


class StudyState(StrEnum):
    """A study in one word: the first of these that holds, audits left aside."""

    IN_PROGRESS = "in_progress"
    DEAD_LETTER = "dead_letter"
    FAILED = "failed"
    DELIVERED = "delivered"
    LISTED = "listed"


class AuditState(StrEnum):
    """What became of a study's audit."""

    NONE = "none"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeliveryStanding:
    """One result at one destination.

    Attributes
    ----------
    attempt : int
        Of the newest attempt; 0 before the first.
    at : float
        When the newest attempt was recorded; 0 before the first.
    retry_at : float
        When the next attempt is due; 0 where none waits.
    reason : str
        Why the newest attempt failed, or the note of the one that succeeded.
    is_committed : bool or None
        Whether the destination has promised to keep it; None where it was not asked.
    given_up : str
        Why a result that is stored is an alarm all the same: it was not promised, again and again.
    given_up_at : float
        When; 0 where it was not.
    """

    job: Job
    result: Result
    destination: str
    state: DeliveryState
    attempt: int = 0
    at: float = 0.0
    retry_at: float = 0.0
    reason: str = ""
    is_committed: bool | None = None
    given_up: str = ""
    given_up_at: float = 0.0


@dataclass(frozen=True, slots=True)
class JobStanding:
    """A job, how far it has come and what it has brought.

    Attributes
    ----------
    ended_at : float
        When the last result arrived, or the job failed or was withheld; 0 before its end.
    reason, detail : str
        Why it ended without delivery; "" otherwise.
    expected_at : float
        When it is expected to be stored, where that is after its deadline and it has not ended; 0.
    """

    job: Job
    state: JobState
    prediction: Prediction | None = None
    record: AttributionRecord | None = None
    results: tuple[Result, ...] = ()
    deliveries: tuple[DeliveryStanding, ...] = ()
    ended_at: float = 0.0
    reason: str = ""
    detail: str = ""
    is_superseded: bool = False
    expected_at: float = 0.0

    @property
    def turnaround(self) -> float | None:
        """Seconds from the last byte received to stored; None until all is delivered."""
        if self.state is not JobState.DELIVERED:
            return None
        return self.ended_at - self.job.received_at


@dataclass(frozen=True, slots=True)
class Verdict:
    """A disposition and what explains it.

    Attributes
    ----------
    reason, detail : str
        Where listed: from the closed set, and a sentence.
    owner : str
        In progress: the step that has to act next.
    deadline : float
        In progress: seconds since 1970 by which it must be settled.
    """

    disposition: Disposition
    reason: str = ""
    detail: str = ""
    owner: str = ""
    deadline: float = 0.0

    @property
    def is_open(self) -> bool:
        """True where a step has yet to act."""
        return self.disposition is Disposition.IN_PROGRESS


@dataclass(frozen=True, slots=True)
class InstanceStanding:
    """An accepted instance and its one verdict.

    Attributes
    ----------
    results : tuple of Result
        Made so far from this instance, newest revision only, audit included.
    """

    instance: Instance
    arrival: Arrival
    verdict: Verdict
    results: tuple[Result, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditStanding:
    """A study's audit; ``reason`` is why it was asked for, or why it failed."""

    state: AuditState = AuditState.NONE
    reason: str = ""
    evaluations: int = 0
    exact: bool = False
    turnaround: float | None = None
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class ResultStanding:
    """A result of a study; ``is_stored`` when every destination that takes it has it.

    Attributes
    ----------
    is_committed : bool or None
        Whether every destination that was asked has promised to keep it; None: none was asked.
    """

    path: JobPath
    result: Result
    is_stored: bool
    deliveries: tuple[DeliveryStanding, ...] = ()
    is_committed: bool | None = None


@dataclass(frozen=True, slots=True)
class StudyStanding:
    """A study in one line; ``jobs`` holds all of it, newest revisions only.

    Urgency, model, finding and confidence are those of the most urgent fast job; the turnaround
    is that of the slowest one.

    Attributes
    ----------
    deadline : float
        Seconds since 1970; 0 while no job exists.
    allowed : float
        Seconds from the last byte received to the deadline.
    turnaround : float or None
        Seconds; None until every fast job has been delivered.
    is_met : bool or None
        Whether every fast job kept its deadline; None while that is open.
    expected : float or None
        Turnaround that is expected of an open study of which a missed deadline was foreseen.
    """

    study_instance_uid: str
    received_at: float
    instances: tuple[InstanceStanding, ...]
    modality: str = ""
    urgency: str = ""
    rule: str = ""
    model: str = ""
    finding: str = ""
    confidence: float | None = None
    deadline: float = 0.0
    allowed: float = 0.0
    turnaround: float | None = None
    is_met: bool | None = None
    expected: float | None = None
    audit: AuditStanding = AuditStanding()
    results: tuple[ResultStanding, ...] = ()
    jobs: tuple[JobStanding, ...] = ()

    @property
    def state(self) -> StudyState:
        """The study in one word."""
        fast = {job.state for job in self.jobs if job.job.path is JobPath.FAST}
        if any(instance.verdict.is_open for instance in self.instances) or any(
            not state.is_end for state in fast
        ):
            return StudyState.IN_PROGRESS
        ends = (JobState.DEAD_LETTER, JobState.FAILED, JobState.DELIVERED)
        found = next((StudyState(end) for end in ends if end in fast), None)
        return found or StudyState.LISTED


@dataclass(frozen=True, slots=True)
class Totals:
    """Accepted = delivered + listed + in progress."""

    accepted: int
    delivered: int
    listed: int
    in_progress: int
