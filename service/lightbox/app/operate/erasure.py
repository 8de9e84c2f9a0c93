"""Erases a study on request: its files go now, and the ledger keeps the proof.

What stays are rows: UIDs, SHA-256 of what was there, what became of it, who had it erased, when
and why. None of them holds patient data.
"""

from __future__ import annotations

from lightbox.app.operate.removed import Accounts
from lightbox.app.operate.retention import Retention
from lightbox.domain.errors import OperationError
from lightbox.domain.events import Event, InstanceListed, JobFailed, NotTaken, OperatorActed
from lightbox.domain.keeping import is_in_progress
from lightbox.domain.operations import Outcome, Request
from lightbox.domain.result import ListedReason
from lightbox.domain.standing import JobState, StudyStanding
from lightbox.ports import Ledger, Queue

_WAITS = frozenset({JobState.PLACED})
_RUNS = frozenset({JobState.STARTED, JobState.PREDICTED, JobState.ATTRIBUTED})


class Erasure:
    """Does it, once nothing of the study is in progress.

    Parameters
    ----------
    records : Accounts
        Where anything stands that ever was.
    retention : Retention
        Removes the files.
    """

    def __init__(
        self, ledger: Ledger, records: Accounts, queue: Queue, retention: Retention
    ) -> None:
        self._ledger = ledger
        self._records = records
        self._queue = queue
        self._retention = retention

    def erase(self, request: Request) -> Outcome:
        """Erase the study that the request names; ``detail`` is the reason.

        Raises
        ------
        OperationError
            If it is not known, or is in progress and ``is_cancelling`` is not set.
        LedgerError
            If it could not be written down; then no file was touched.
        """
        study = request.subject
        standing = self._records.account_of((study,)).study(study)
        if not standing.instances:
            raise OperationError(study, "is no study that is known here", "see: lightbox studies")
        acted = OperatorActed("erase", study, request.by, request.at, study, request.detail)
        if is_in_progress(standing):
            if not request.is_cancelling:
                raise OperationError(
                    study, "has work in progress", "wait until it is settled, or add --cancel"
                )
            is_running = any(job.state in _RUNS for job in standing.jobs)
            self._ledger.record(acted, *_ended(standing, request.by))
            for job in standing.jobs:
                if job.state in _WAITS | _RUNS:
                    self._queue.cancel(job.job.job_id)
            if is_running:
                words = "its work is cancelled and stops at its next chunk; nothing is erased yet"
                return Outcome(is_done=False, lines=(f"{study}: {words}: ask again in a minute",))
        else:
            self._ledger.record(acted)
        account = self._records.account_of((study,)).of(study)
        row = self._retention.erase(account, request.by, request.detail)
        if row is None:
            return Outcome(is_done=True, lines=(f"{study}: no file of it is left",))
        proof = f"proof: ledger row {row.key}"
        return Outcome(is_done=True, lines=(f"{study}: {len(row.files)} files erased; {proof}",))


def _ended(standing: StudyStanding, by: str) -> list[Event]:
    """Return what ends all that is in progress of a study."""
    study, why = standing.study_instance_uid, f"erased by {by}"
    events: list[Event] = []
    for each in standing.jobs:
        job = each.job
        if each.state in _WAITS | _RUNS:
            events.append(JobFailed(study, job.job_id, ListedReason.CANCELLED, why, job.attempt))
        events += [
            NotTaken(study, job.job_id, way.result.sop_instance_uid, way.destination, why)
            for way in each.deliveries
            if not way.state.is_end
        ]
    placed = {i.sop_instance_uid for job in standing.jobs for i in job.job.instances}
    events += [
        InstanceListed(
            study, each.instance.sop_instance_uid, each.instance.sha256,
            ListedReason.CANCELLED, why,
        )
        for each in standing.instances
        if each.verdict.is_open and each.instance.sop_instance_uid not in placed
    ]  # fmt: skip
    return events
