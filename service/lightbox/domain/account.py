"""The account: what became of every accepted instance, job, result and study.

A fold over recorded events. It keeps facts by name and judges only when asked, so the order in
which the chains of several processes are read does not matter, and a row applied twice changes
nothing. Every accepted instance is delivered, listed with a reason, or in progress with an owner
and a deadline: never none of these, never two.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from lightbox.domain.commitment import (
    CommitmentAnswered,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentReported,
    CommitmentRequested,
    Committed,
)
from lightbox.domain.events import (
    AssociationReleased,
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    InstanceListed,
    InstanceStored,
    JobFailed,
    JobPlaced,
    JobRetried,
    JobStarted,
    NotTaken,
    OperatorActed,
    Predicted,
    Recorded,
    ResultsWritten,
    ServiceMarked,
    StudyReady,
)
from lightbox.domain.instance_facts import (
    Content,
    InstanceFacts,
    InstanceKey,
    ReadyUnit,
    content_of,
    key_of,
)
from lightbox.domain.job_facts import JobFacts
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.result import Disposition
from lightbox.domain.standing import (
    DeliveryStanding,
    DeliveryState,
    InstanceStanding,
    JobStanding,
    JobState,
    StudyStanding,
    Totals,
    Verdict,
)
from lightbox.domain.summary import summarise, verdict_of
from lightbox.domain.urgency import Deadlines, Urgency


class Account:
    """Applies recorded events; answers where everything stands.

    Parameters
    ----------
    destinations : tuple of str
        Names of those that get results; where there is none, a result that is written is done.
    deadlines : Deadlines
        For units that are ready but have no job yet.
    assemble_within : float
        Seconds after its arrival by which an instance must belong to a unit or be listed.
    commits : tuple of str
        Names of destinations that are asked for storage commitment.
    """

    def __init__(
        self,
        destinations: Iterable[str] = (),
        *,
        deadlines: Deadlines | None = None,
        assemble_within: float = 60.0,
        commits: Iterable[str] = (),
    ) -> None:
        self._destinations = tuple(destinations)
        self._deadlines = deadlines or Deadlines()
        self._assemble_within = assemble_within
        self._commits = frozenset(commits)
        self._requested: dict[str, set[str]] = defaultdict(set)
        self._answered: set[str] = set()
        self._instances: dict[InstanceKey, InstanceFacts] = defaultdict(InstanceFacts)
        self._jobs: dict[str, JobFacts] = defaultdict(JobFacts)
        self._units: dict[str, ReadyUnit] = {}
        self._placed: set[Content] = set()
        self._studies: dict[str, list[InstanceKey]] = defaultdict(list)
        self._study_jobs: dict[str, list[str]] = defaultdict(list)
        self._touched: set[str] = set()
        self.positions: dict[str, int] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one row in; rows may come in any order and more than once."""
        position = self.positions.get(recorded.chain, 0)
        self.positions[recorded.chain] = max(position, recorded.sequence)
        event = recorded.event
        self._touched.add(event.study)
        match event:
            case InstanceStored():
                self._store(event)
            case InstanceListed():
                facts = self._instances[event.sop_instance_uid, event.sha256]
                facts.listed[event.reason] = (recorded.at, event)
            case StudyReady():
                self._make_ready(event)
            case JobPlaced():
                self._place(event.job)
            case Delivered() | DeliveryDelayed() | DeadLettered() | DeliveryRevived() | NotTaken():
                self._jobs[event.job_id].attempt(event, recorded.at)
            case (
                JobStarted()
                | Predicted()
                | Attributed()
                | ResultsWritten()
                | JobFailed()
                | JobRetried()
            ):
                self._jobs[event.job_id].progress(event, recorded.at)
            case AssociationReleased() | ServiceMarked() | CommitmentReported() | OperatorActed():
                pass
            case _:
                self._commitment(event)

    # ------------------------------------------------------------------------------ taking in
    def _store(self, event: InstanceStored) -> None:
        key = key_of(event.instance)
        facts = self._instances[key]
        if facts.stored is None:
            facts.stored = event
            self._studies[event.study].append(key)

    def _make_ready(self, event: StudyReady) -> None:
        if event.key in self._units:
            return
        unit = ReadyUnit(event, content_of(event.model, event.instances))
        self._units[event.key] = unit
        for instance in event.instances:
            self._instances[key_of(instance)].ready.append(unit)

    def _place(self, job: Job) -> None:
        facts = self._jobs[job.job_id]
        if facts.job is not None:
            return
        facts.job = job
        self._study_jobs[job.study_instance_uid].append(job.job_id)
        if job.path is JobPath.FAST:
            self._placed.add(content_of(job.model, job.instances))
        if job.supersedes:
            self._jobs[job.supersedes].successors.add(job.job_id)
        for instance in job.instances:
            self._instances[key_of(instance)].jobs.append(job.job_id)

    def _commitment(
        self,
        event: CommitmentAsked
        | Committed
        | CommitmentFailed
        | CommitmentRequested
        | CommitmentAnswered,
    ) -> None:
        match event:
            case CommitmentAsked():
                for each in event.results:
                    self._jobs[each.job_id].ask(each.sop_instance_uid, event.destination)
            case Committed() | CommitmentFailed():
                self._jobs[event.job_id].commitment(event)
            case CommitmentRequested():
                self._requested[event.transaction].add(event.name)
            case CommitmentAnswered():
                self._answered.add(event.request)
            case _:
                assert_never(event)

    # ------------------------------------------------------------------------- at the next start
    def waiting_instances(self, arrived_since: float = math.inf) -> tuple[InstanceStored, ...]:
        """Return instances that belong to no unit, job or list yet: to be assembled again.

        Instances that arrived at or after ``arrived_since`` come too, unless they are listed: a
        unit of one model may be ready while that of another still waits for its quiet period.
        """
        return tuple(
            facts.stored
            for facts in self._instances.values()
            if facts.stored is not None
            and not facts.listed
            and (
                not (facts.ready or facts.jobs) or facts.stored.arrival.received_at >= arrived_since
            )
        )

    def unplaced_units(self) -> tuple[StudyReady, ...]:
        """Return units that are ready, have no job and are not listed: to be placed again."""
        return tuple(
            unit.ready
            for unit in self._units.values()
            if unit.content not in self._placed
            and not all(self._instances[key].listed for key in unit.content[1])
        )

    def unplaced_jobs(self) -> tuple[Job, ...]:
        """Return jobs without an end, in order: to be given to the queue again.

        A job that a newer revision supersedes is not among them.
        """
        return tuple(
            replace(facts.job, attempt=facts.current)
            for facts in self._jobs.values()
            if facts.job is not None
            and facts.written is None
            and facts.failed is None
            and not facts.successors
        )

    def undelivered(self, destination: str) -> tuple[DeliveryStanding, ...]:
        """Return what this destination has yet to get, in the order of writing.

        Results whose successor is written are not sent any more.
        """
        written = [facts for facts in self._jobs.values() if facts.job and facts.written]
        written.sort(key=_written_at)
        return tuple(
            delivery
            for facts in written
            if not any(self._jobs[name].written for name in facts.successors)
            for delivery in facts.deliveries((destination,))
            if not delivery.state.is_end
        )

    def unsettled_studies(self, arrived_since: float = math.inf) -> frozenset[str]:
        """Return studies with anything to do, by us or by a person, or with recent instances.

        Looks only at those that were returned the last time or that had events since.
        """
        self._touched = {uid for uid in self._touched if self._is_unsettled(uid, arrived_since)}
        return frozenset(self._touched)

    # -------------------------------------------------------------------------- where things stand
    def instances(self) -> tuple[InstanceStanding, ...]:
        """Return every accepted instance with its disposition, in the order of recording."""
        return tuple(self._each_instance())

    def totals(self) -> Totals:
        """Count instances by disposition."""
        counts = dict.fromkeys(Disposition, 0)
        for standing in self._each_instance():
            counts[standing.verdict.disposition] += 1
        return Totals(
            sum(counts.values()),
            counts[Disposition.DELIVERED],
            counts[Disposition.LISTED],
            counts[Disposition.IN_PROGRESS],
        )

    def studies(self) -> tuple[StudyStanding, ...]:
        """Return every study that has accepted instances, in the order of recording."""
        return tuple(self.study(uid) for uid in self._studies)

    def study(self, study_instance_uid: str) -> StudyStanding:
        """Return one study; one without instances where none is known by this UID."""
        keys = self._studies.get(study_instance_uid, ())
        instances = tuple(self._judge(self._instances[key]) for key in keys)
        names = self._study_jobs.get(study_instance_uid, ())
        return summarise(study_instance_uid, instances, tuple(self._standings(names)))

    def placed_job(self, job_id: str) -> Job | None:
        """Return a job by its name, without asking how far it has come."""
        facts = self._jobs.get(job_id)
        return facts.job if facts else None

    def job(self, job_id: str) -> JobStanding | None:
        """Return one job, or None where it was never placed."""
        return next(self._standings((job_id,)), None)

    def jobs_of(self, uid: str = "") -> tuple[JobStanding, ...]:
        """Return the jobs that a UID names (of a study, an instance or a result); all for "".

        Superseded revisions stay out.
        """
        names = (
            name
            for name, facts in self._jobs.items()
            if not facts.successors and (not uid or facts.is_named(uid))
        )
        return tuple(self._standings(names))

    def strangers(self) -> tuple[str, ...]:
        """Name what events speak of although it was never accepted or placed: missing rows."""
        instances = (
            f"instance {sop} ({sha[:12]}) has a job but was never stored"
            for (sop, sha), facts in self._instances.items()
            if facts.stored is None and facts.jobs
        )
        jobs = (
            f"job {name} has events but was never placed"
            for name, facts in self._jobs.items()
            if facts.job is None
        )
        return (*instances, *jobs)

    # -------------------------------------------------------------------------------- judging
    def _each_instance(self) -> Iterator[InstanceStanding]:
        return (self._judge(facts) for facts in self._instances.values() if facts.stored)

    def _judge(self, facts: InstanceFacts) -> InstanceStanding:
        assert facts.stored is not None
        newest: dict[tuple[str, str], Job] = {}
        for name in facts.jobs:
            job = self._jobs[name].job
            assert job is not None
            other = newest.get((job.path, job.model))
            if other is None or _age(job) > _age(other):
                newest[job.path, job.model] = job
        jobs = tuple(self._standings(job.job_id for job in sorted(newest.values(), key=_age)))
        made = tuple(result for job in jobs for result in job.results)
        verdict = self._unplaced(facts)
        if verdict is None:
            verdict = verdict_of(jobs) if jobs else self._unclaimed(facts.stored, facts)
        return InstanceStanding(facts.stored.instance, facts.stored.arrival, verdict, made)

    def _unplaced(self, facts: InstanceFacts) -> Verdict | None:
        """Judge an instance of a unit that is ready and has no job: that comes before all else."""
        units = [unit.ready for unit in facts.ready if unit.content not in self._placed]
        if facts.listed or not units:
            return None
        due = min(u.received_at + self._deadlines.of(Urgency(u.urgency)) for u in units)
        return Verdict(Disposition.IN_PROGRESS, owner="schedule", deadline=due)

    def _unclaimed(self, stored: InstanceStored, facts: InstanceFacts) -> Verdict:
        newest = facts.newest_listing()
        if newest is not None:
            return Verdict(Disposition.LISTED, newest.reason, newest.detail)
        due = stored.arrival.received_at + self._assemble_within
        return Verdict(Disposition.IN_PROGRESS, owner="studies", deadline=due)

    def _is_unsettled(self, study_instance_uid: str, arrived_since: float) -> bool:
        asked = self._requested.get(study_instance_uid, ())  # rows by their transaction
        if any(request not in self._answered for request in asked):
            return True
        keys = self._studies.get(study_instance_uid, ())
        for standing in (self._judge(self._instances[key]) for key in keys):
            if standing.verdict.disposition is Disposition.IN_PROGRESS:
                return True
            if standing.arrival.received_at >= arrived_since:
                return True
        jobs = tuple(self._standings(self._study_jobs.get(study_instance_uid, ())))
        return any(
            not job.is_superseded and job.state not in {JobState.DELIVERED, JobState.WITHHELD}
            for job in jobs
        ) or any(self._is_unproven(delivery) for job in jobs for delivery in job.deliveries)

    def _is_unproven(self, delivery: DeliveryStanding) -> bool:
        asks = delivery.destination in self._commits or delivery.is_committed is not None
        stored = delivery.state is DeliveryState.DELIVERED
        return stored and asks and not delivery.is_committed

    def _standings(self, names: Iterable[str]) -> Iterator[JobStanding]:
        for name in names:
            facts = self._jobs.get(name)
            if facts is not None and facts.job is not None:
                yield facts.standing(facts.job, self._destinations)


def _age(job: Job) -> tuple[int, float, str]:
    return (job.revision, job.placed_at, job.job_id)


def _written_at(facts: JobFacts) -> tuple[float, str]:
    return (facts.written_at, facts.job.job_id if facts.job else "")
