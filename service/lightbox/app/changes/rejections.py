"""Follows rejection notes of others (IHE IOCM): what is rejected is not used any more.

Work that is open ends, at the next chunk where it runs; results that have not left are not sent;
a series goes on without the rejected images, as a new revision whose result replaces the old one.
What has been delivered stays where it is: archives hide what the note names, and the account says
of it that it was delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from lightbox.domain.events import Event, InstanceListed, JobFailed, NotTaken
from lightbox.domain.instance_facts import key_of
from lightbox.domain.rejection import (
    KEY_OBJECT_SELECTION,
    TITLES,
    ImagesRejected,
    RejectionNote,
)
from lightbox.domain.result import ListedReason
from lightbox.domain.standing import JobStanding, JobState
from lightbox.domain.study import Described
from lightbox.domain.study_account import StudyAccount
from lightbox.ports import Ledger, Queue

_OPEN = frozenset({JobState.PLACED, JobState.STARTED, JobState.PREDICTED, JobState.ATTRIBUTED})

_log = logging.getLogger(__name__)

ReadNote = Callable[[str], RejectionNote | None]
"""Path of a stored key object, relative to the data directory → what it rejects."""


class Rejections:
    """Ends what a note names.

    Parameters
    ----------
    queue : Queue
        Lets go of cancelled jobs.
    account : callable (study) → StudyAccount
        Where a study stands now.
    read : callable (path) → RejectionNote or None
        Reads a key object.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: Queue,
        account: Callable[[str], StudyAccount],
        read: ReadNote,
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._account = account
        self._read = read

    def of_note(self, described: Described) -> tuple[Event, ...]:
        """Return what a stored object rejects, and that it is not analysed; () if it is no note.

        Raises
        ------
        UnreadableError
            If it is a key object that cannot be read.
        """
        instance, arrival = described.instance, described.arrival
        note = None
        if instance.sop_class_uid == KEY_OBJECT_SELECTION:
            note = self._read(instance.path)
        if note is None:
            return ()
        rejected = [
            ImagesRejected(
                study,
                uids,
                instance.sop_instance_uid,
                instance.sha256,
                note.title,
                arrival.calling_ae,
                arrival.received_at,
            )
            for study, uids in note.images.items()
        ]
        count = sum(len(event.sop_instance_uids) for event in rejected)
        _log.warning("a rejection note names %d images: %s", count, TITLES[note.title])
        listed = InstanceListed(
            instance.study_instance_uid,
            instance.sop_instance_uid,
            instance.sha256,
            ListedReason.NO_MODEL,
            f"a rejection note, followed: {TITLES[note.title]}, {count} images",
        )
        return (*rejected, listed)

    def follow(self, event: ImagesRejected) -> None:
        """End what is open of the rejected images; done twice, nothing more happens."""
        uids = frozenset(event.sop_instance_uids)
        account = self._account(event.study)
        rejected = {
            key_of(each.instance): each.instance
            for each in account.instances()
            if each.instance.sop_instance_uid in uids and event.holds_for(each.arrival.received_at)
        }
        jobs = [
            job
            for job in (account.job(name) for name in account.job_ids())
            if job is not None and any(key_of(i) in rejected for i in job.job.instances)
        ]
        listed = (
            InstanceListed(
                event.study, each.sop_instance_uid, each.sha256, ListedReason.REJECTED, event.words
            )
            for each in rejected.values()
        )
        ended = (ending for job in jobs for ending in _ended(job, event.words))
        events = (*listed, *ended)
        if events:
            self._ledger.record(*events)
        for job in jobs:
            if job.state in _OPEN:
                self._queue.cancel(job.job.job_id)


def _ended(standing: JobStanding, why: str) -> Iterator[Event]:
    """Yield what ends a job and the ways of its results."""
    job = standing.job
    if standing.state in _OPEN:
        study, job_id = job.study_instance_uid, job.job_id
        yield JobFailed(study, job_id, ListedReason.REJECTED, why, job.attempt)
    for way in standing.deliveries:
        if not way.state.is_end:
            uid = way.result.sop_instance_uid
            yield NotTaken(job.study_instance_uid, job.job_id, uid, way.destination, why)
