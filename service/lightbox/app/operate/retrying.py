"""Tries again what failed: jobs that ended without result, results that no destination took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from lightbox.app.operate.removed import Accounts, removed_of, why_gone
from lightbox.deliver.outbox import Parcel, dead_letters
from lightbox.deliver.send import Send
from lightbox.domain.events import DeliveryRevived, FilesRemoved, JobRetried, acted_on
from lightbox.domain.operations import ALL, Outcome, Request, job_words
from lightbox.domain.result import CHOSEN, ListedReason
from lightbox.domain.standing import DeliveryState, JobStanding, JobState
from lightbox.ports import Ledger
from lightbox.schedule.place import Place
from lightbox.settings import DestinationSettings

Destinations: TypeAlias = Mapping[str, tuple[DestinationSettings, Send]]
"""By name."""


def _why_not(job: JobStanding, removed: Mapping[str, FilesRemoved]) -> str:
    """Say why a job cannot be done again, "" where it can."""
    if job.reason == ListedReason.REJECTED:
        return f"{job.detail}; send the right images"
    return why_gone(job.job, removed)


class Retrying:
    """Tries again what a person names.

    Parameters
    ----------
    records : Accounts
        Says which files retention or erasure removed: what needs them cannot be tried.
    """

    def __init__(self, ledger: Ledger, records: Accounts, place: Place) -> None:
        self._ledger = ledger
        self._records = records
        self._place = place

    def again(
        self, request: Request, jobs: Collection[JobStanding], destinations: Destinations
    ) -> Outcome:
        """Try the failed ones of these jobs and their dead letters.

        Where nothing is named it is everything that failed, but not what a person cancelled.
        """
        uid = "" if request.subject == ALL else request.subject
        removed = removed_of(self._records, jobs)
        failed = [
            job
            for job in jobs
            if job.state is JobState.FAILED and (uid or job.reason not in CHOSEN)
        ]
        gone = [f"{job_words(job.job)}: {why}" for job in failed if (why := _why_not(job, removed))]
        failed = [job for job in failed if not _why_not(job, removed)]
        dead = []
        for name, parcel in self._dead(jobs, uid, destinations):
            if row := removed.get(parcel.result.path):
                gone.append(f"result {parcel.result.sop_instance_uid}: its file was {row.words}")
            else:
                dead.append((name, parcel))
        if gone and not (failed or dead):
            return Outcome(is_done=False, lines=tuple(gone))
        if not (failed or dead):
            nothing = f"{uid}: nothing of it has failed" if uid else "nothing has failed"
            return Outcome(is_done=not uid, lines=(nothing,))
        self._ledger.record(acted_on(request, {job.job.study_instance_uid for job in jobs}))
        for standing in failed:
            self._replace(standing, request.by)
        for name, parcel in dead:
            self._revive(name, parcel, request.by)
            destinations[name][1].resume(parcel)
        lines = [f"{job_words(job.job)}: tried again" for job in failed]
        for name, count in sorted(Counter(name for name, _ in dead).items()):
            words = "result goes" if count == 1 else "results go"
            lines.append(f"{name}: {count} {words} out again")
        return Outcome(is_done=True, lines=(*lines, *gone))

    def _replace(self, failed: JobStanding, by: str) -> None:
        job = replace(failed.job, attempt=failed.job.attempt + 1)
        self._ledger.record(JobRetried(job.study_instance_uid, job.job_id, job.attempt, by))
        self._place.again([job])

    def _revive(self, name: str, parcel: Parcel, by: str) -> None:
        uid = parcel.result.sop_instance_uid
        self._ledger.record(
            DeliveryRevived(parcel.study, parcel.job_id, uid, name, parcel.attempt, by)
        )

    def _dead(
        self, jobs: Collection[JobStanding], uid: str, destinations: Destinations
    ) -> Iterator[tuple[str, Parcel]]:
        """Yield the dead letters of these jobs, of one result only where that is named."""
        ours = {job.job.job_id for job in jobs}
        is_result = any(uid == result.sop_instance_uid for job in jobs for result in job.results)
        for study in sorted({job.job.study_instance_uid for job in jobs if _may_be_dead(job)}):
            rows = self._ledger.timeline(study)
            for name, (settings, _) in destinations.items():
                for parcel in dead_letters(rows, settings):
                    is_named = not is_result or parcel.result.sop_instance_uid == uid
                    if parcel.job_id in ours and is_named:
                        yield name, parcel


def _may_be_dead(job: JobStanding) -> bool:
    """Say whether a look at the ledger is worth while: given up, or stored and not committed."""
    return any(
        d.state is DeliveryState.DEAD_LETTER or d.is_committed is False or d.given_up
        for d in job.deliveries
    )
