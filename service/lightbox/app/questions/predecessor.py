"""Which result a job replaces: a function of the ledger, so that a repetition finds the same one.

A job and the one that it supersedes may run side by side. What counts is the order of two rows:
where the older results were written before the newer explanation was, they are replaced by name;
where they came later, they are not sent any more (``road.py``). So there are never two results of
one unit in an archive of which neither says that it replaces the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lightbox.domain.audit import contradicts
from lightbox.domain.events import Attributed, JobPlaced, Predicted, Recorded, ResultsWritten
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.model_package import FAST_METHODS
from lightbox.domain.prediction import Prediction
from lightbox.domain.replaced import Replaced

Find: TypeAlias = Callable[[str], Recorded | None]
"""Key of an event → its row, from any chain."""


def replaced_by(find: Find, job: Job) -> Replaced | None:
    """Return what this job replaces, None where nothing was written before it.

    A predecessor that has no results is passed over for the one before it.
    """
    explained = find(f"attributed:{job.job_id}")
    name = job.supersedes
    while name and explained is not None:
        placed, written = find(f"job_placed:{name}"), find(f"results_written:{name}")
        if placed is None or not isinstance(placed.event, JobPlaced):
            return None
        if written is not None and is_before(written, explained):
            found = _replaced(find, placed.event.job, written)
            if found is not None:
                return found
        name = placed.event.job.supersedes
    return None


def is_before(one: Recorded, other: Recorded) -> bool:
    """Say whether a row was written before another: by position in a chain, else by time."""
    if one.chain == other.chain:
        return one.sequence < other.sequence
    return one.at < other.at


def _replaced(find: Find, job: Job, written: Recorded) -> Replaced | None:
    event = written.event
    prediction = _prediction(find, job)
    if not isinstance(event, ResultsWritten) or not event.results or event.withheld:
        return None
    if prediction is None:
        return None
    explained = find(f"attributed:{job.job_id}")
    contradicted = (
        job.path is JobPath.AUDIT
        and explained is not None
        and isinstance(explained.event, Attributed)
        and contradicts(explained.event.record.quality)
    )
    return Replaced(job, prediction, event.results, written.at, contradicted=contradicted)


def _prediction(find: Find, job: Job) -> Prediction | None:
    """Return what a job predicted; for an audit, what the fast job did that it is the audit of."""
    names = [job.job_id]
    if job.path is JobPath.AUDIT:
        names = [
            job_identity(JobPath.FAST, job.instances, job.model_sha256, method)
            for method in FAST_METHODS
        ]
    for name in names:
        found = find(f"predicted:{name}")
        if found is not None and isinstance(found.event, Predicted):
            return found.event.prediction
    return None
