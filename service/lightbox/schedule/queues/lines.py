"""Which line of the engine a job waits in. STAT has its own, so it never waits for a slot."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.jobs import Job
from lightbox.domain.urgency import Urgency


@dataclass(frozen=True, slots=True)
class Line:
    """One queue of the engine.

    Attributes
    ----------
    concurrency : int
        Jobs of this line that one executor runs at once.
    poll : float
        Seconds between two looks; the line's most rate is ``concurrency / poll``.
    """

    name: str
    concurrency: int
    poll: float


# A look costs 1.6 ms of CPU on SQLite, idle or not: these intervals take a tenth of a core.
STAT = Line("stat", concurrency=4, poll=0.025)
FAST = Line("fast", concurrency=2, poll=0.05)
AUDIT = Line("audit", concurrency=1, poll=0.25)

LINES = {
    Urgency.STAT: STAT,
    Urgency.HIGH: FAST,
    Urgency.ROUTINE: FAST,
    Urgency.AUDIT: AUDIT,
}


def workflow_name(urgency: Urgency) -> str:
    """Return the engine's name for jobs of this urgency.

    One name per urgency, so that those that wait can be counted without reading their inputs.
    """
    return f"job_{urgency.value.lower()}"


def run_name(job: Job) -> str:
    """Return the engine's identifier of one attempt at a job, in one place of the line.

    A new attempt is a new workflow, and so is the same one in another place.
    """
    name = job.job_id if job.attempt == 1 else f"{job.job_id}{_MARK}{job.attempt}"
    return f"{name}{_MARK}moved{job.moves}" if job.moves else name


def job_of(name: str) -> str:
    """Return the identifier of the job that a :func:`run_name` belongs to."""
    return name.partition(_MARK)[0]


_MARK = "#"

URGENCIES = {workflow_name(urgency): urgency for urgency in Urgency}
