"""Storage commitment (PS3.4 annex J) as events: who promised whom to keep what.

We ask (SCU): ``CommitmentAsked``, then ``CommitmentReported``, then for each result ``Committed`` or
``CommitmentFailed``. We are asked (SCP): ``CommitmentRequested``, then ``CommitmentAnswered``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from lightbox.domain.identity import derived_id

PUSH_MODEL = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class, PS3.4 J.3."""

PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance, PS3.4 J.3.5."""

NO_REPORT = 0
"""Reason of ours: nothing came in time."""

PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119

FAILURE_REASONS = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_INSTANCE: "it does not hold this object",
    0x0213: "out of resources",
    0x0122: "it does not commit this SOP class",
    CLASS_CONFLICT: "it holds this UID under another SOP class",
    0x0131: "it knows this transaction already",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An object by class and instance, as in the Referenced SOP Sequence (0008,1199)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An object that is not committed, and its Failure Reason (0008,1197)."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: int


@dataclass(frozen=True, slots=True)
class ResultReference:
    """A result of ours, by its job."""

    job_id: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentAsked:
    """deliver.commitment: about to ask a destination to keep these results of a study."""

    study_instance_uid: str
    destination: str
    transaction: str
    results: tuple[ResultReference, ...]
    kind: Literal["commitment_asked"] = "commitment_asked"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per transaction."""
        return f"{self.kind}:{self.transaction}"


@dataclass(frozen=True, slots=True)
class CommitmentReported:
    """receive, deliver: a peer's N-EVENT-REPORT, whatever transaction it speaks of."""

    transaction: str
    calling_ae: str
    kept: tuple[str, ...]
    failed: tuple[Failure, ...] = ()
    kind: Literal["commitment_reported"] = "commitment_reported"

    @property
    def study(self) -> str:
        """The transaction: no study is known to whoever receives a report."""
        return self.transaction

    @property
    def key(self) -> str:
        """One per transaction and content."""
        failed = sorted(f"{each.sop_instance_uid}={each.reason}" for each in self.failed)
        content = derived_id(*sorted(self.kept), "failed", *failed)
        return f"{self.kind}:{self.transaction}:{content}"


@dataclass(frozen=True, slots=True)
class Committed:
    """deliver.commitment: the destination has promised to keep this result."""

    study_instance_uid: str
    job_id: str
    sop_instance_uid: str
    destination: str
    transaction: str
    kind: Literal["committed"] = "committed"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per result and destination."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.destination}"


@dataclass(frozen=True, slots=True)
class CommitmentFailed:
    """deliver.commitment: refused by the destination, or silence; the result is sent again.

    ``reason`` is the Failure Reason (0008,1197), 0 where no report came in time.
    """

    study_instance_uid: str
    job_id: str
    sop_instance_uid: str
    destination: str
    transaction: str
    reason: int
    detail: str
    kind: Literal["commitment_failed"] = "commitment_failed"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per result and transaction; a transaction has one destination."""
        return f"{self.kind}:{self.sop_instance_uid}:{self.transaction}"


@dataclass(frozen=True, slots=True)
class CommitmentRequested:
    """receive: a peer's N-ACTION; it was told 0x0000 and will get a report."""

    transaction: str
    calling_ae: str
    peer: str
    references: tuple[Reference, ...]
    kind: Literal["commitment_requested"] = "commitment_requested"

    @property
    def study(self) -> str:
        """The transaction: its objects may be of several studies, or of none that we know."""
        return self.transaction

    @property
    def key(self) -> str:
        """One per peer, transaction and content."""
        return f"{self.kind}:{self.name}"

    @property
    def name(self) -> str:
        """Identifier of this request, which its answer repeats."""
        named = sorted(f"{each.sop_class_uid}={each.sop_instance_uid}" for each in self.references)
        return derived_id(self.calling_ae, self.transaction, *named)


@dataclass(frozen=True, slots=True)
class CommitmentAnswered:
    """deliver.commitment: the peer has our report, or ``undeliverable`` says why it has none."""

    transaction: str
    request: str
    calling_ae: str
    kept: int
    failed: tuple[Failure, ...] = ()
    undeliverable: str = ""
    kind: Literal["commitment_answered"] = "commitment_answered"

    @property
    def study(self) -> str:
        """The transaction."""
        return self.transaction

    @property
    def key(self) -> str:
        """One per request."""
        return f"{self.kind}:{self.request}"


CommitmentEvent: TypeAlias = (
    CommitmentAsked
    | CommitmentReported
    | Committed
    | CommitmentFailed
    | CommitmentRequested
    | CommitmentAnswered
)
