"""Jobs: what a worker is asked to do, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from lightbox.domain.identity import JobId, derived_id
from lightbox.domain.study import Instance
from lightbox.domain.urgency import AT_ONCE, Urgency


class JobPath(StrEnum):
    """The fast path answers; the audit path proves."""

    FAST = "fast"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Job:
    """One model on one unit (an instance or a series), on one path.

    Attributes
    ----------
    instances : tuple of Instance
        Ordered as they are to be read; one for ``unit = "instance"``.
    received_at : float
        When the last byte of the last instance was read; deadlines count from here.
    deadline : float
        Seconds since 1970 by which the results must be stored in the PACS.
    rule : str
        What decided the urgency; for an audit, why it was asked for.
    revision : int
        1, and one more for each late instance of the unit.
    placed_at : float
        When it was placed; result objects carry this time, so a retry is byte-identical.
    supersedes : str
        Job whose results this one replaces, or "".
    caveat : str
        What the picture must say about the match of model and source, or "".
    modality : str
        Modality (0008,0060) of the unit.
    audit : bool
        A rule or the called AE asks for the audit.
    attempt : int
        1, and one more each time that a person has it tried again after it failed.
    off_peak : bool
        An audit that nobody asked for: it waits for the site's off-peak hours, if there are any.
    moves : int
        How often its urgency was changed after it was placed; see :func:`moved`.
    decided : str
        Urgency and rule that it was placed with, once moved; results state these, so that a job
        that is moved while it runs makes the same bytes. "" where it was never moved.
    """

    job_id: JobId
    path: JobPath
    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[Instance, ...]
    model: str
    model_sha256: str
    method: str
    urgency: Urgency
    rule: str
    received_at: float
    placed_at: float
    deadline: float
    revision: int = 1
    supersedes: str = ""
    caveat: str = ""
    modality: str = ""
    audit: bool = False
    attempt: int = 1
    off_peak: bool = False
    moves: int = 0
    decided: str = ""

    @property
    def reason(self) -> str:
        """What results say of its urgency: what decided it when it was placed."""
        return self.decided or f"{self.urgency.value}: {self.rule}"

    @property
    def first_rule(self) -> str:
        """What decided when it was placed, whoever changed its urgency since."""
        return self.reason.partition(": ")[2]


def moved(job: Job, urgency: Urgency, deadline: float, rule: str, moves: int) -> Job:
    """Return the job as it stands after its urgency was changed for the ``moves``-th time."""
    return replace(
        job, urgency=urgency, deadline=deadline, rule=rule, moves=moves, decided=job.reason
    )


@dataclass(frozen=True, slots=True, order=True)
class Wait:
    """A time in which results wait for the hours that the site chose for a destination.

    Attributes
    ----------
    begins, ends : float
        Seconds since 1970.
    """

    begins: float
    ends: float


def while_it_waits(job: Job, waits: Iterable[Wait]) -> Job:
    """Return the job with its deadline put off: time in which it waits for hours does not count.

    Times that overlap count once, those that begin after the deadline not at all; what is urgent
    waits for no hours.
    """
    if not waits or job.urgency in AT_ONCE:
        return job
    deadline, counted = job.deadline, 0.0
    for wait in sorted(waits):
        begins = max(wait.begins, counted)
        if begins > deadline:
            break
        deadline += max(wait.ends - begins, 0.0)
        counted = max(counted, wait.ends)
    return replace(job, deadline=deadline)


def job_identity(
    path: JobPath, instances: tuple[Instance, ...], model_sha256: str, method: str
) -> JobId:
    """Derive a job's identifier from what it computes: bytes, weights, method."""
    content = sorted(f"{i.sop_instance_uid}={i.sha256}" for i in instances)
    return derived_id(path, model_sha256, method, *content)


_EPOCH = 1_767_225_600  # 2026-01-01 UTC
_BAND = 2**30
"""Width of a class in the engine's priorities, seconds: 34 years of deadlines."""


def priority(job: Job) -> int:
    """Return the engine's priority, low first, 1 to 2^31 - 1.

    STAT and HIGH go before the other classes, overdue or not; within a class the earliest
    deadline (whole seconds since 2026) goes first, so ageing comes free.
    """
    seconds = max(1, min(_BAND - 1, int(job.deadline) - _EPOCH))
    return seconds if job.urgency in AT_ONCE else _BAND + seconds
