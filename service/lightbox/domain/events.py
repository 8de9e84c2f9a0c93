"""What can happen to a study, as values. The ledger is a list of these.

Each event has a ``key``: recording the same key twice is recording it once, so a step that is
repeated after a crash changes nothing. ``study`` groups the events of a study's timeline.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, TypeAdapter

from lightbox.domain.attribution import AttributionRecord
from lightbox.domain.commitment import (
    CommitmentAnswered,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentReported,
    CommitmentRequested,
    Committed,
)
from lightbox.domain.identity import derived_id
from lightbox.domain.jobs import Job
from lightbox.domain.operations import Action, Request
from lightbox.domain.patient import PatientChanged
from lightbox.domain.prediction import Prediction
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import ListedReason, Result
from lightbox.domain.study import Arrival, Instance
from lightbox.domain.urgency import Urged, Urgency
from lightbox.domain.webhooks import NotificationEvent, WebhookKnown


@dataclass(frozen=True, slots=True)
class InstanceStored:
    """receive.store: an instance is on disk; its sender was told so.

    ``again`` counts the times before that its file was found torn after a crash
    (:class:`InstanceTorn`) or was removed (:class:`FilesRemoved`).
    """

    instance: Instance
    arrival: Arrival
    again: int = 0
    kind: Literal["instance_stored"] = "instance_stored"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.instance.study_instance_uid

    @property
    def key(self) -> str:
        """One per instance and content, and one more each time that it was torn."""
        tail = f":{self.again}" if self.again else ""
        return f"{self.kind}:{self.instance.sop_instance_uid}:{self.instance.sha256}{tail}"


@dataclass(frozen=True, slots=True)
class InstanceTorn:
    """receive.store, receive.sweep: its row is on disk and its file is not; nobody was answered.

    When its sender sends it again it is stored again and looked at anew.
    """

    study_instance_uid: str
    sop_instance_uid: str
    sha256: str
    again: int
    kind: Literal["instance_torn"] = "instance_torn"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per :class:`InstanceStored`."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.sha256}:{self.again}"

    @classmethod
    def of(cls, stored: InstanceStored) -> InstanceTorn:
        """Say so of what was recorded as stored."""
        what = stored.instance
        return cls(stored.study, what.sop_instance_uid, what.sha256, stored.again)


@dataclass(frozen=True, slots=True)
class RemovedFile:
    """A file that is removed on purpose.

    Attributes
    ----------
    path : str
        Relative to the data directory.
    sha256 : str
        That its row states, of an instance's data set or a result's file; "" for what is made
        beside them (previews, an audit's values).
    """

    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class FilesRemoved:
    """app.retention: these files go now; recorded before the first of them is unlinked.

    Attributes
    ----------
    number : int
        Counts the removals of this study, from 0.
    why : str
        Whether they were older than ``storage.retention``, or a person had them erased.
    by, reason : str
        Of an erasure: who asked for it, and what was given as the reason; "" otherwise.
    at : float
        Seconds since 1970.
    """

    study_instance_uid: str
    number: int
    why: Literal["retention", "erased"]
    at: float
    files: tuple[RemovedFile, ...]
    by: str = ""
    reason: str = ""
    kind: Literal["files_removed"] = "files_removed"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per study and removal."""
        return self.key_of(self.study_instance_uid, self.number)

    @classmethod
    def key_of(cls, study_instance_uid: str, number: int) -> str:
        """Return the key of a study's removal of this number."""
        return f"files_removed:{study_instance_uid}:{number}"

    @property
    def words(self) -> str:
        """Say why the files are gone, for people."""
        day = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if self.why == "retention":
            return f"removed by retention on {day}"
        return f"erased by {self.by} on {day}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class AssociationReleased:
    """receive: an association that brought instances has ended (released, aborted or cut)."""

    association: str
    instances: int
    how: Literal["released", "aborted", "lost"]
    kind: Literal["association_released"] = "association_released"

    @property
    def study(self) -> str:
        """None in particular."""
        return ""

    @property
    def key(self) -> str:
        """One per association."""
        return f"{self.kind}:{self.association}"


@dataclass(frozen=True, slots=True)
class InstanceListed:
    """Any step: this accepted instance gets no result, and why (closed set plus a sentence)."""

    study_instance_uid: str
    sop_instance_uid: str
    sha256: str
    reason: ListedReason
    detail: str
    kind: Literal["instance_listed"] = "instance_listed"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per instance, content and reason."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.sha256}:{self.reason}"


@dataclass(frozen=True, slots=True)
class StudyReady:
    """studies.assemble: a unit (instance or series) is complete enough for a model.

    Attributes
    ----------
    numbers : tuple of (int or None)
        Instance Number (0020,0013) of each instance, None where it has none: a late one finds its
        place after a restart too. Empty in rows of 0.1.0.
    """

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[Instance, ...]
    model: str
    urgency: str
    rule: str
    received_at: float
    revision: int
    audit: bool = False
    caveat: str = ""
    modality: str = ""
    numbers: tuple[int | None, ...] = ()
    kind: Literal["study_ready"] = "study_ready"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per unit, model, revision and content: other bytes are never taken for known ones."""
        first = self.instances[0].sop_instance_uid
        content = derived_id(*sorted(f"{i.sop_instance_uid}={i.sha256}" for i in self.instances))
        unit = f"{self.series_instance_uid}:{first}:{self.model}"
        return f"{self.kind}:{unit}:{self.revision}:{content}"


@dataclass(frozen=True, slots=True)
class JobPlaced:
    """schedule.place: a job exists; the queue has it or will be given it at the next start."""

    job: Job
    kind: Literal["job_placed"] = "job_placed"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.job.study_instance_uid

    @property
    def key(self) -> str:
        """One per job."""
        return f"{self.kind}:{self.job.job_id}"


@dataclass(frozen=True, slots=True)
class _OfJob:
    study_instance_uid: str
    job_id: str

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid


@dataclass(frozen=True, slots=True)
class JobStarted(_OfJob):
    """schedule.worker: a worker took the job (first time)."""

    attempt: int = 1
    kind: Literal["job_started"] = "job_started"

    @property
    def key(self) -> str:
        """One per job and attempt."""
        return f"{self.kind}:{self.job_id}{_later(self.attempt)}"


@dataclass(frozen=True, slots=True)
class Predicted(_OfJob):
    """infer.predict: the model has spoken."""

    prediction: Prediction
    kind: Literal["predicted"] = "predicted"

    @property
    def key(self) -> str:
        """One per job."""
        return f"{self.kind}:{self.job_id}"


@dataclass(frozen=True, slots=True)
class Attributed(_OfJob):
    """explain.attribute: the prediction has its explanation."""

    record: AttributionRecord
    kind: Literal["attributed"] = "attributed"

    @property
    def key(self) -> str:
        """One per job."""
        return f"{self.kind}:{self.job_id}"


@dataclass(frozen=True, slots=True)
class ResultsWritten(_OfJob):
    """results.write: all objects of the job are on disk (possibly none: see ``withheld``).

    ``destinations`` are those configured at that time, by name: one that is added later does not
    get what was settled before, one that is renamed does not reopen it. Empty: the present ones.
    """

    results: tuple[Result, ...]
    withheld: str = ""
    destinations: tuple[str, ...] = ()
    kind: Literal["results_written"] = "results_written"

    @property
    def key(self) -> str:
        """One per job."""
        return f"{self.kind}:{self.job_id}"


@dataclass(frozen=True, slots=True)
class JobFailed(_OfJob):
    """schedule.worker: the job cannot be done; its instances are listed with this reason."""

    reason: ListedReason
    detail: str
    attempt: int = 1
    kind: Literal["job_failed"] = "job_failed"

    @property
    def key(self) -> str:
        """One per job and attempt."""
        return f"{self.kind}:{self.job_id}{_later(self.attempt)}"


@dataclass(frozen=True, slots=True)
class JobRetried(_OfJob):
    """app.operations: a person has a job done again, which failed (that counts no more) or waited."""

    attempt: int
    by: str
    kind: Literal["job_retried"] = "job_retried"

    @property
    def key(self) -> str:
        """One per job and attempt."""
        return f"{self.kind}:{self.job_id}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class JobMoved(_OfJob):
    """schedule.place: a job that has no end yet got another urgency, and so another place."""

    urgency: Urgency
    deadline: float
    rule: str
    move: int
    kind: Literal["job_moved"] = "job_moved"

    @property
    def key(self) -> str:
        """One per job and change."""
        return f"{self.kind}:{self.job_id}:{self.move}"


@dataclass(frozen=True, slots=True)
class MissExpected(_OfJob):
    """app.foresight: this job will miss its deadline, as things stand; said before it does."""

    expected_at: float
    deadline: float
    kind: Literal["miss_expected"] = "miss_expected"

    @property
    def key(self) -> str:
        """One per job and deadline."""
        return f"{self.kind}:{self.job_id}:{self.deadline}"


@dataclass(frozen=True, slots=True)
class Delivered(_OfJob):
    """deliver.send: a destination answered success for this result.

    ``again`` counts the earlier times that it did so and then did not commit to keeping it.
    """

    sop_instance_uid: str
    destination: str
    attempt: int
    note: str = ""
    again: int = 0
    kind: Literal["delivered"] = "delivered"

    @property
    def key(self) -> str:
        """One per result, destination and round of storage commitment."""
        tail = f":{self.again}" if self.again else ""
        return f"{self.kind}:{self.sop_instance_uid}:{self.destination}{tail}"


@dataclass(frozen=True, slots=True)
class DeliveryDelayed(_OfJob):
    """deliver.send: an attempt failed; the next is at ``retry_at``.

    Not ``is_tried``: there was no attempt, it waits for the destination's hours.
    """

    sop_instance_uid: str
    destination: str
    attempt: int
    reason: str
    retry_at: float
    is_tried: bool = True
    kind: Literal["delivery_delayed"] = "delivery_delayed"

    @property
    def key(self) -> str:
        """One per result, destination and attempt."""
        tail = "" if self.is_tried else f":{self.retry_at:.0f}"
        return f"{self.kind}:{self.sop_instance_uid}:{self.destination}:{self.attempt}{tail}"


@dataclass(frozen=True, slots=True)
class DeadLettered(_OfJob):
    """deliver.send: given up, with the reason; ``lightbox retry`` revives it.

    ``again`` is how often the destination answered success and then did not commit; more than 0:
    it is stored, as far as we were told, but not proven to be kept. ``unanswered``: given up for
    want of an answer, so it goes out by itself when the destination answers again.
    """

    sop_instance_uid: str
    destination: str
    attempt: int
    reason: str
    again: int = 0
    unanswered: bool = False
    kind: Literal["dead_lettered"] = "dead_lettered"

    @property
    def key(self) -> str:
        """One per result, destination and attempt."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.destination}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class DeliveryRevived(_OfJob):
    """app.operations: a person sends the dead letter of this attempt out again."""

    sop_instance_uid: str
    destination: str
    attempt: int
    by: str
    kind: Literal["delivery_revived"] = "delivery_revived"

    @property
    def key(self) -> str:
        """One per result, destination and attempt."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.destination}:{self.attempt}"


@dataclass(frozen=True, slots=True)
class NotTaken(_OfJob):
    """deliver.send: this destination does not take this kind of object; nothing is wrong."""

    sop_instance_uid: str
    destination: str
    reason: str
    kind: Literal["not_taken"] = "not_taken"

    @property
    def key(self) -> str:
        """One per result and destination."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.destination}"


@dataclass(frozen=True, slots=True)
class StudyUrged:
    """A study got another urgency, by a person or for what was found in it.

    It goes for the jobs that it has now and for all that is still to come of it.
    """

    study_instance_uid: str
    urged: Urged
    kind: Literal["study_urged"] = "study_urged"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per person's request, one per finding."""
        when = "" if self.urged.is_floor else f":{self.urged.at}"
        return f"{self.kind}:{self.study}:{self.urged.urgency}:{self.urged.rule}{when}"


@dataclass(frozen=True, slots=True)
class ServiceMarked:
    """app: a process started or stopped; ``heads`` anchors the other chains (name → hash)."""

    role: str
    what: Literal["started", "stopped"]
    version: str
    at: float
    heads: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["service_marked"] = "service_marked"

    @property
    def study(self) -> str:
        """None in particular."""
        return ""

    @property
    def key(self) -> str:
        """One per start or stop."""
        return f"{self.kind}:{self.role}:{self.what}:{self.at}"


@dataclass(frozen=True, slots=True)
class ChainRebuilt:
    """tools.rebuild: a damaged or lost chain begins again here; what stands before it still proves.

    Attributes
    ----------
    chain : str
        Which one: this row stands in it.
    reason : str
        What was wrong with its file.
    taken_over : int
        Rows that could be read behind the damage; they follow this one. What they say is theirs,
        but nothing proves that no row between them is missing.
    taken_in : int
        Instances without a row whose files, or what other chains say of them, follow as rows.
    lost : int
        Rows that were there for certain and could not be read.
    gone : tuple of str
        Heads that other chains had seen here and that stand here no more.
    kept_in : str
        Folder of the damaged file, relative to the data directory; "" where there was none.
    sha256 : str
        Of that file, "" where there was none.
    by : str
        Who had it rebuilt; ``at`` is when, seconds since 1970.
    """

    chain: str
    reason: str
    taken_over: int
    taken_in: int
    lost: int
    gone: tuple[str, ...]
    kept_in: str
    sha256: str
    by: str
    at: float
    kind: Literal["chain_rebuilt"] = "chain_rebuilt"

    @property
    def study(self) -> str:
        """None in particular."""
        return ""

    @property
    def key(self) -> str:
        """One per chain and rebuilding."""
        return f"{self.kind}:{self.chain}:{self.at}"

    @property
    def words(self) -> str:
        """Say what this means for whoever relies on the chain."""
        day = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        where = f"; the damaged file is kept in {self.kept_in}" if self.kept_in else ""
        return (
            f"the chain was rebuilt by {self.by} on {day} because its file {self.reason}: "
            f"at least {self.lost} rows lost, {self.taken_over} read behind the damage, "
            f"{self.taken_in} instances taken in again{where}"
        )


@dataclass(frozen=True, slots=True)
class ConfigurationTaken:
    """app.reload: a process has taken up another configuration while it ran.

    Attributes
    ----------
    digest : str
        SHA-256 of what is in force now.
    by : str
        Who asked for it; ``at`` is when, seconds since 1970.
    file : str
        Where it was read, "" for none.
    changed : tuple of str
        Keys that changed in this process's settings.
    restart : tuple of str
        Keys that the file changes and that wait for a restart.
    """

    role: str
    digest: str
    by: str
    at: float
    file: str = ""
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    kind: Literal["configuration_taken"] = "configuration_taken"

    @property
    def study(self) -> str:
        """None in particular."""
        return ""

    @property
    def key(self) -> str:
        """One per process and request."""
        return f"{self.kind}:{self.role}:{self.digest}:{self.at}"


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """app.operations: a person asked for something; what came of it are events of its own.

    Attributes
    ----------
    subject : str
        UID, name of a model, or "all"; of a drill, its verdict.
    by : str
        Name at the operating system, or the address that the console was asked from.
    at : float
        When it was asked for, seconds since 1970.
    detail : str
        What else was asked for: the urgency; of a drill, the SHA-256 of its report; of an erasure,
        the reason; of use and rollback, from which version of the model to which.
    """

    action: Action
    subject: str
    by: str
    at: float
    study_instance_uid: str = ""
    detail: str = ""
    kind: Literal["operator_acted"] = "operator_acted"

    @property
    def study(self) -> str:
        """Study Instance UID, "" for none in particular."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per request."""
        return f"{self.kind}:{self.action}:{self.subject}:{self.by}:{self.at}"


def acted_on(request: Request, studies: Collection[str]) -> OperatorActed:
    """Return the event of what was asked; it belongs to a study if it is about one only."""
    (study,) = studies if len(studies) == 1 else ("",)
    return OperatorActed(request.action, request.subject, request.by, request.at, study)


def drill_held(request: Request) -> OperatorActed:
    """Return the one event that a drill leaves in the production ledger."""
    verdict, report = request.subject, request.detail
    return OperatorActed("drill", verdict, request.by, request.at, detail=report)


def _later(attempt: int) -> str:
    """Tell later attempts apart; the first keeps the name that it always had."""
    return "" if attempt == 1 else f":{attempt}"


Event: TypeAlias = (
    InstanceStored
    | InstanceTorn
    | FilesRemoved
    | AssociationReleased
    | InstanceListed
    | ImagesRejected
    | PatientChanged
    | StudyReady
    | JobPlaced
    | JobStarted
    | Predicted
    | Attributed
    | ResultsWritten
    | JobFailed
    | JobRetried
    | JobMoved
    | StudyUrged
    | MissExpected
    | Delivered
    | DeliveryDelayed
    | DeadLettered
    | DeliveryRevived
    | NotTaken
    | CommitmentAsked
    | CommitmentReported
    | Committed
    | CommitmentFailed
    | CommitmentRequested
    | CommitmentAnswered
    | ServiceMarked
    | ChainRebuilt
    | ConfigurationTaken
    | OperatorActed
    | WebhookKnown
    | NotificationEvent
)

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Discriminator("kind")])


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the ledger holds it.

    Attributes
    ----------
    chain : str
        Name of the writing process's chain (receive, control, work).
    sequence : int
        Position in that chain, from 1.
    at : float
        Seconds since 1970 when it was recorded.
    digest : str
        Hash of this row and of the one before it, hexadecimal.
    """

    chain: str
    sequence: int
    at: float
    digest: str
    event: Event


def to_json(event: Event) -> str:
    """Serialise canonically: the same event always gives the same text."""
    return _ADAPTER.dump_json(event).decode()


def from_json(text: str) -> Event:
    """Read what :func:`to_json` wrote.

    Raises
    ------
    pydantic.ValidationError
        If the text is not one of our events.
    """
    return _ADAPTER.validate_json(text)
