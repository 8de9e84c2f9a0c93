"""Which line of the engine a job waits in. STAT has its own, so it never waits for a slot."""

from __future__ import annotations

from dataclasses import dataclass

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


STAT = Line("stat", concurrency=4, poll=0.02)
FAST = Line("fast", concurrency=2, poll=0.04)
AUDIT = Line("audit", concurrency=1, poll=0.2)

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


URGENCIES = {workflow_name(urgency): urgency for urgency in Urgency}
