"""Which image says who the patient is, where images of a study disagree.

A function of the ledger, as in ``questions/predecessor.py``: what counts was recorded before the
job was explained. So a repetition, and a replay, carry the same patient.
"""

from __future__ import annotations

from typing import Protocol

from lightbox.app.questions.predecessor import is_before
from lightbox.domain.events import Recorded
from lightbox.domain.jobs import Job
from lightbox.domain.patient import PatientChanged
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.study import Instance


class Rows(Protocol):
    """What was written down: a ledger, or only a reader of it."""

    def find(self, key: str) -> Recorded | None:
        """Return the row with this key from any chain."""
        ...

    def timeline(self, study_instance_uid: str) -> tuple[Recorded, ...]:
        """Return the events of one study from all chains, by time."""
        ...


def newest_patient(ledger: Rows, job: Job) -> Instance | None:
    """Return the image whose patient a job's results carry; None: that of their source.

    An image that was rejected says nothing.
    """
    study, found = job.study_instance_uid, list[PatientChanged]()
    explained = ledger.find(f"attributed:{job.job_id}")
    while row := ledger.find(PatientChanged.key_of(study, len(found))):
        if explained is not None and not is_before(row, explained):
            break
        assert isinstance(row.event, PatientChanged)
        found.append(row.event)
    if not found:
        return None
    rejected = {
        uid
        for row in ledger.timeline(study)
        if isinstance(row.event, ImagesRejected)
        and (explained is None or is_before(row, explained))
        for uid in row.event.sop_instance_uids
    }
    left = [event.instance for event in found if event.instance.sop_instance_uid not in rejected]
    return left[-1] if left else None
