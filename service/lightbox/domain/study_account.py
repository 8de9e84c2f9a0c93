"""The account of one study: a fold over its events, and over nothing else.

Every event names its study, and none changes what another study's events mean. So a study can be
folded, forgotten and folded again by itself, whatever else the ledger holds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from sys import intern
from typing import Never, assert_never

from lightbox.domain.commitment import (
    CommitmentAnswered,
    CommitmentAsked,
    CommitmentEvent,
    CommitmentFailed,
    CommitmentReported,
    CommitmentRequested,
    Committed,
)
from lightbox.domain.events import (
    AssociationReleased,
    ChainRebuilt,
    ConfigurationTaken,
    FilesRemoved,
    InstanceListed,
    InstanceStored,
    InstanceTorn,
    JobPlaced,
    OperatorActed,
    Recorded,
    ServiceMarked,
    StudyReady,
    StudyUrged,
)
from lightbox.domain.expectations import Expectations
from lightbox.domain.instance_facts import (
    InstanceFacts,
    InstanceKey,
    ReadyUnit,
    content_of,
    key_of,
    with_removal,
)
from lightbox.domain.job_facts import Attempt, JobFacts, Progress
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.patient import PatientChanged
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import Disposition, ListedReason
from lightbox.domain.standing import (
    DeliveryStanding,
    DeliveryState,
    InstanceStanding,
    JobStanding,
    StudyStanding,
    Verdict,
)
from lightbox.domain.study import Instance
from lightbox.domain.summary import summarise, verdict_of
from lightbox.domain.urgency import Urgency
from lightbox.domain.webhooks import (
    NotificationDelayed,
    NotificationDropped,
    NotificationEvent,
    NotificationSent,
    WebhookKnown,
)

__all__ = ["Expectations", "StudyAccount"]

_NONE: frozenset[Never] = frozenset()
"""One for all: each ``frozenset()`` takes 216 bytes."""


class StudyAccount:
    """Applies the events of one study; answers where everything of it stands.

    Parameters
    ----------
    study : str
        What its events call their study: a Study Instance UID, or a transaction of storage
        commitment.
    expected : Expectations
        The site's.
    """

    __slots__ = (  # many of them are in memory while a destination is away
        "_answered", "_expected", "_instances", "_jobs", "_order", "_requested",
        "_stored", "_told", "_untold", "newest_arrival", "newest_row", "removals", "study",
    )  # fmt: skip

    def __init__(self, study: str, expected: Expectations) -> None:
        self.study = study
        self._expected = expected
        self._requested: frozenset[str] = _NONE
        self._answered: frozenset[str] = _NONE
        self._untold: frozenset[tuple[str, str]] = _NONE
        self._told: frozenset[tuple[str, str]] = _NONE
        self._instances: dict[InstanceKey, InstanceFacts] = defaultdict(InstanceFacts)
        self._stored: list[InstanceKey] = []
        self._jobs: dict[str, JobFacts] = defaultdict(JobFacts)
        self._order: list[str] = []
        self.newest_arrival = 0.0
        self.newest_row = 0.0
        self.removals: tuple[FilesRemoved, ...] = ()

    def apply(self, recorded: Recorded) -> None:
        """Take one row in; rows may come in any order and more than once."""
        if isinstance(recorded.event, FilesRemoved):
            self.removals = with_removal(self.removals, recorded.event)
        else:
            self.newest_row = max(self.newest_row, recorded.at)
            self._take(recorded)

    def _take(self, recorded: Recorded) -> None:
        event = recorded.event
        match event:
            case InstanceStored():
                self._store(event)
            case InstanceTorn():
                self._instances[event.sop_instance_uid, event.sha256].torn |= {event.again}
            case InstanceListed():
                facts = self._instances[event.sop_instance_uid, event.sha256]
                facts.listed = {**facts.listed, event.reason: (recorded.at, event)}
            case StudyReady():
                self._make_ready(event)
            case JobPlaced():
                self._place(event.job)
            case _ if isinstance(event, Attempt):
                self._jobs[event.job_id].attempt(event, recorded.at)
            case _ if isinstance(event, Progress):
                self._jobs[event.job_id].progress(event, recorded.at)
            case NotificationDelayed() | NotificationSent() | NotificationDropped():
                self._tell(event)
            case (
                AssociationReleased()
                | ServiceMarked()
                | ChainRebuilt()
                | ConfigurationTaken()
                | OperatorActed()
                | StudyUrged()
                | ImagesRejected()
                | PatientChanged()
                | WebhookKnown()
                | FilesRemoved()
            ):
                pass
            case _:
                self._commitment(event)

    # ------------------------------------------------------------------------------ taking in
    def _store(self, event: InstanceStored) -> None:
        key = key_of(event.instance)
        facts = self._instances[key]
        if facts.stored is None:
            self._stored.append(key)
        if facts.stored is None or facts.stored.again < event.again:
            facts.stored = event
            for job in self._jobs.values() if event.again else ():  # another file than before
                job.job = job.job and replace(job.job, instances=self._known(job.job.instances))
            self.newest_arrival = max(self.newest_arrival, event.arrival.received_at)

    def _make_ready(self, event: StudyReady) -> None:
        content = content_of(event.model, event.instances)
        if self._instances[key_of(event.instances[0])].knows(event, content):
            return
        same = replace(event, instances=self._known(event.instances))
        unit = ReadyUnit(same, content)
        for instance in event.instances:
            self._instances[key_of(instance)].ready += (unit,)

    def _place(self, job: Job) -> None:
        facts = self._jobs[job.job_id]
        if facts.job is not None:
            return
        weights = intern(job.model_sha256)
        facts.job = replace(job, instances=self._known(job.instances), model_sha256=weights)
        self._order.append(job.job_id)
        if job.path is JobPath.FAST:
            content = content_of(job.model, job.instances)
            units = self._instances[key_of(job.instances[0])].ready if job.instances else ()
            same = (unit.content for unit in units if unit.content == content)
            facts.content = next(same, content)  # the same object: many are in memory
        if job.supersedes:
            self._jobs[job.supersedes].successors |= {job.job_id}
        for instance in job.instances:
            self._instances[key_of(instance)].jobs += (job.job_id,)

    def _known(self, instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
        """Return the same instances as they were stored last: each event read them anew."""
        found = (self._instances.get(key_of(each)) for each in instances)
        return tuple(
            facts.stored.instance if facts is not None and facts.stored is not None else each
            for facts, each in zip(found, instances, strict=True)
        )

    def _tell(self, event: NotificationEvent) -> None:
        which = (event.notification, event.webhook)
        if isinstance(event, NotificationDelayed):
            self._untold |= {which}
        else:
            self._told |= {which}

    def _commitment(self, event: CommitmentEvent) -> None:
        match event:
            case CommitmentAsked():
                for each in event.results:
                    self._jobs[each.job_id].ask(each.sop_instance_uid, event.destination)
            case Committed() | CommitmentFailed():
                self._jobs[event.job_id].commitment(event)
            case CommitmentRequested():
                self._requested |= {event.name}
            case CommitmentAnswered():
                self._answered |= {event.request}
            case CommitmentReported():
                pass
            case _:
                assert_never(event)

    # ------------------------------------------------------------------------------ what is open
    def waiting_instances(self, arrived_since: float = math.inf) -> Iterator[InstanceStored]:
        """Yield instances that belong to no unit, job or list yet: to be assembled again.

        Where one arrived at or after ``arrived_since``, all come, unless they are listed: a unit
        of one model may be ready while that of another still waits for its quiet period.
        """
        is_young = self.newest_arrival >= arrived_since
        return (
            facts.stored
            for facts in self._instances.values()
            if facts.stored is not None
            and not facts.listed
            and not facts.is_torn
            and (is_young or not (facts.ready or facts.jobs))
        )

    def unplaced_units(self) -> Iterator[StudyReady]:
        """Yield units that are ready, have no job and are not listed: to be placed again."""
        return (
            unit.ready
            for first, facts in self._instances.items()
            for unit in facts.ready
            if key_of(unit.ready.instances[0]) == first
            and not self._is_placed(unit, facts)
            and not all(self._instances[key].listed for key in unit.content[1])
        )

    def unplaced_jobs(self) -> Iterator[Job]:
        """Yield jobs without an end; none that a newer revision supersedes."""
        return (
            replace(facts.now(facts.job), attempt=facts.current)
            for facts in self._jobs.values()
            if facts.job is not None
            and facts.written is None
            and facts.failed is None
            and not facts.successors
        )

    def undelivered(self, destination: str) -> Iterator[tuple[float, DeliveryStanding]]:
        """Yield what this destination has yet to get, each with the time of its writing.

        Results whose successor is written are not sent any more.
        """
        return (
            (facts.written_at, delivery)
            for facts in self._jobs.values()
            if facts.job and facts.written
            if not any(self._jobs[name].written for name in facts.successors)
            for delivery in facts.deliveries((destination,))
            if not delivery.state.is_end
        )

    def is_open(self, asked_since: float = 0.0) -> bool:
        """Say whether anything is still to be done by us, or to be promised by a destination.

        A destination that was not asked for its promise is not waited for where it stored the
        result before ``asked_since``, seconds since 1970.
        """
        if self._requested - self._answered or self._untold - self._told:
            return True
        if any(self._judge(self._instances[key]).verdict.is_open for key in self._stored):
            return True
        return any(
            not job.is_superseded
            and (
                not job.state.is_end
                or any(self._is_unproven(delivery, asked_since) for delivery in job.deliveries)
            )
            for job in self._standings(self._order)
        )

    # -------------------------------------------------------------------------- where things stand
    def instances(self) -> Iterator[InstanceStanding]:
        """Yield every accepted instance with its disposition, in the order of recording."""
        return (self._judge(self._instances[key]) for key in self._stored)

    def standing(self) -> StudyStanding:
        """Return the study; one without instances where none was accepted."""
        return summarise(self.study, tuple(self.instances()), tuple(self._standings(self._order)))

    def job_ids(self) -> tuple[str, ...]:
        """Return the names of the jobs that were placed, in order."""
        return tuple(self._order)

    def placed_job(self, job_id: str) -> Job | None:
        """Return a job by its name, without asking how far it has come."""
        facts = self._jobs.get(job_id)
        return facts.now(facts.job) if facts and facts.job else None

    def job(self, job_id: str) -> JobStanding | None:
        """Return one job, or None where it was never placed."""
        return next(self._standings((job_id,)), None)

    def jobs_of(self, uid: str = "") -> Iterator[JobStanding]:
        """Yield the jobs that a UID names (of study, instance or result); all for "".

        Superseded revisions stay out.
        """
        names = (
            name
            for name, facts in self._jobs.items()
            if not facts.successors and (not uid or facts.is_named(uid))
        )
        return self._standings(names)

    def strangers(self) -> Iterator[str]:
        """Name what events speak of although it was never accepted or placed: missing rows."""
        for (sop, sha), facts in self._instances.items():
            if facts.stored is None and facts.jobs:
                yield f"instance {sop} ({sha[:12]}) has a job but was never stored"
        for name, job in self._jobs.items():
            if job.job is None:
                yield f"job {name} has events but was never placed"

    # -------------------------------------------------------------------------------- judging
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
        if facts.rejected is not None and verdict.disposition is not Disposition.DELIVERED:
            verdict = Verdict(Disposition.LISTED, ListedReason.REJECTED, facts.rejected.detail)
        return InstanceStanding(facts.stored.instance, facts.stored.arrival, verdict, made)

    def _unplaced(self, facts: InstanceFacts) -> Verdict | None:
        """Judge what is torn, or belongs to a ready unit without a job: that outweighs all else."""
        if facts.is_torn:
            detail = "its file was lost in a crash before its sender was answered"
            return Verdict(Disposition.LISTED, ListedReason.TORN, detail)
        units = [unit.ready for unit in facts.ready if not self._is_placed(unit, facts)]
        if facts.listed or not units:
            return None
        due = min(u.received_at + self._expected.deadlines.of(Urgency(u.urgency)) for u in units)
        return Verdict(Disposition.IN_PROGRESS, owner="schedule", deadline=due)

    def _is_placed(self, unit: ReadyUnit, facts: InstanceFacts) -> bool:
        """Say whether a unit of an instance has its job, or needs none: an image was rejected."""
        return any(self._jobs[name].content == unit.content for name in facts.jobs) or any(
            self._instances[key].rejected is not None for key in unit.content[1]
        )

    def _unclaimed(self, stored: InstanceStored, facts: InstanceFacts) -> Verdict:
        newest = facts.newest_listing()
        if newest is not None:
            return Verdict(Disposition.LISTED, newest.reason, newest.detail)
        due = stored.arrival.received_at + self._expected.assemble_within
        return Verdict(Disposition.IN_PROGRESS, owner="studies", deadline=due)

    def _is_unproven(self, delivery: DeliveryStanding, asked_since: float) -> bool:
        if delivery.state is not DeliveryState.DELIVERED or delivery.is_committed:
            return False
        is_asked = delivery.is_committed is not None
        return is_asked or (
            delivery.destination in self._expected.commits and delivery.at >= asked_since
        )

    def _standings(self, names: Iterable[str]) -> Iterator[JobStanding]:
        for name in names:
            facts = self._jobs.get(name)
            if facts is not None and facts.job is not None:
                yield facts.standing(facts.job, self._expected.destinations)


def _age(job: Job) -> tuple[int, float, str]:
    return (job.revision, job.placed_at, job.job_id)
