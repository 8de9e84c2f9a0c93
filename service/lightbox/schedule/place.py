"""The door of step 3: a ready unit becomes a job, written down first, then handed to the queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lightbox.domain.events import InstanceListed, JobMoved, JobPlaced, StudyReady
from lightbox.domain.jobs import Job, JobPath, job_identity, moved
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Deadlines, Urged, Urgency
from lightbox.ports import Clock, Ledger, Queue


class Place:
    """Makes jobs.

    Parameters
    ----------
    ledger : Ledger
        Jobs are recorded here before the queue hears of them.
    queue : Queue
        Hands them to a worker.
    deadlines : Deadlines
        Seconds that each urgency allows.
    packages : mapping of str to ModelPackage
        Served models by name.
    clock : Clock
        Gives ``placed_at``.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: Queue,
        deadlines: Deadlines,
        packages: Mapping[str, ModelPackage],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._deadlines = deadlines
        self._packages = packages
        self._clock = clock

    def configure(self, deadlines: Deadlines) -> None:
        """Go by other deadlines from now on; jobs that are placed keep theirs."""
        self._deadlines = deadlines

    def place(self, ready: StudyReady) -> JobPlaced | None:
        """Place the fast job of a ready unit; asked twice, the first job is returned.

        Where the model is not served any more, the instances are listed and None is returned.
        """
        package = self._packages.get(ready.model)
        if package is None:
            detail = f"model {ready.model} is not served any more"
            self._ledger.record(
                *(
                    InstanceListed(
                        ready.study_instance_uid,
                        instance.sop_instance_uid,
                        instance.sha256,
                        ListedReason.NO_MODEL,
                        detail,
                    )
                    for instance in ready.instances
                )
            )
            return None
        urgency, method = Urgency(ready.urgency), package.explanation.method
        job = Job(
            job_id=job_identity(JobPath.FAST, ready.instances, package.sha256, method),
            path=JobPath.FAST,
            study_instance_uid=ready.study_instance_uid,
            series_instance_uid=ready.series_instance_uid,
            instances=ready.instances,
            model=ready.model,
            model_sha256=package.sha256,
            method=method,
            urgency=urgency,
            rule=ready.rule,
            received_at=ready.received_at,
            placed_at=self._clock.now(),
            deadline=ready.received_at + self._deadlines.of(urgency),
            revision=ready.revision,
            caveat=ready.caveat,
            modality=ready.modality,
            audit=ready.audit,
        )
        return self._place(job)

    def audit(
        self, job: Job, reason: str, method: str = "shapley", *, off_peak: bool = False
    ) -> JobPlaced:
        """Place the audit of a fast job; ``reason`` says why it was asked for.

        ``off_peak`` is for one that may wait for the off-peak hours.
        """
        audit = replace(
            job,
            job_id=job_identity(JobPath.AUDIT, job.instances, job.model_sha256, method),
            path=JobPath.AUDIT,
            method=method,
            urgency=Urgency.AUDIT,
            rule=reason,
            placed_at=self._clock.now(),
            deadline=job.received_at + self._deadlines.of(Urgency.AUDIT),
            supersedes="",
            attempt=1,
            off_peak=off_peak,
            moves=0,
            decided="",
        )
        return self._place(audit)

    def move(self, job: Job, urged: Urged) -> None:
        """Give a job that has no end yet the urgency of its study; audits keep theirs."""
        if job.path is JobPath.AUDIT or not urged.changes(job.urgency):
            return
        deadline = urged.deadline(job.deadline, job.received_at, job.urgency, self._deadlines)
        move = JobMoved(
            job.study_instance_uid,
            job.job_id,
            urged.urgency,
            deadline,
            urged.rule,
            job.moves + 1,
        )
        self._ledger.record(move)
        self._queue.move(moved(job, urged.urgency, deadline, urged.rule, move.move))

    def again(self, jobs: Iterable[Job]) -> None:
        """Hand recorded jobs to the queue once more, as after a start; nothing is recorded.

        The most urgent go first: a worker begins with what is there.
        """
        for job in sorted(jobs, key=_order):
            self._queue.place(job)

    def _place(self, job: Job) -> JobPlaced:
        known = self._ledger.find(f"job_placed:{job.job_id}")
        if known is None:
            placed = JobPlaced(replace(job, supersedes=self._superseded(job)))
            known = self._ledger.record(placed)[0]
        event = known.event
        assert isinstance(event, JobPlaced), event
        self._queue.place(event.job)
        return event

    def _superseded(self, job: Job) -> str:
        """Return the identifier of the job of the same unit one revision earlier, or ""."""
        if job.revision <= 1:
            return ""
        unit = self._unit(job)
        placed = [
            recorded.event.job
            for recorded in self._ledger.timeline(job.study_instance_uid)
            if isinstance(recorded.event, JobPlaced)
        ]
        older = [
            other for other in placed if self._unit(other) == unit and other.revision < job.revision
        ]
        return max(older, key=lambda other: other.revision).job_id if older else ""

    def _unit(self, job: Job) -> tuple[str, ...]:
        # A unit of one instance is told apart by that instance, a series by its UID.
        package = self._packages.get(job.model)
        single = package is not None and package.unit == "instance"
        instance = job.instances[0].sop_instance_uid if single else ""
        return job.series_instance_uid, instance, job.model, job.path, job.method


def _order(job: Job) -> tuple[int, float]:
    return job.urgency.rank, job.deadline
