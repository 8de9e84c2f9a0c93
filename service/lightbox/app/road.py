"""The road of a study: which event leads to which door. Steps meet here and in ``analysis.py``.

======================  ================  ==================================================
event in the ledger     written by        next door
======================  ================  ==================================================
InstanceStored          receive.store     studies.assemble, app.changes
ImagesRejected          a rejection note  app.changes: the end of what is open of them
InstanceTorn            receive           the end, unless its sender sends it again
AssociationReleased     receive.listener  studies.assemble
StudyReady              studies.assemble  schedule.place
StudyUrged              a person, or the  studies.assemble, schedule.place (another place in
                        road: a finding   the line)
JobPlaced               schedule.place    the worker: infer.predict, explain.attribute,
                                          results.write (``analysis.py`` beside this)
Predicted               infer.predict     schedule.place again, where an audit is due
ResultsWritten          results.write     deliver.send, once per destination
Delivered               deliver.send      deliver.commitment.ask, where the destination is asked
CommitmentReported      receive           deliver.commitment.ask: the end, or deliver.send again
CommitmentRequested     receive           deliver.commitment.report: the end
Committed, DeadLettered deliver           the end
FilesRemoved            operate.retention the end; an image that comes again is a new row
InstanceListed,         any door          the end
JobFailed
======================  ================  ==================================================

A door commits its event before it returns, and the road reads what was written: so after a crash
each study goes on from its last event, by the same table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from lightbox.app.changes.changes import Changes
from lightbox.app.commitments import Commitments
from lightbox.app.questions.own_results import is_ours
from lightbox.app.questions.predecessor import is_before
from lightbox.app.questions.senders import senders
from lightbox.deliver.outbox import Parcel
from lightbox.deliver.send import Send
from lightbox.domain.account import Account
from lightbox.domain.audit import AuditPolicy, can_wait, critical, why_audit
from lightbox.domain.errors import UnreadableError
from lightbox.domain.events import (
    AssociationReleased,
    Event,
    InstanceListed,
    InstanceStored,
    JobPlaced,
    JobRetried,
    NotTaken,
    Predicted,
    Recorded,
    ResultsWritten,
    ServiceMarked,
    StudyReady,
    StudyUrged,
)
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import CHOSEN, ListedReason, Result
from lightbox.domain.standing import JobStanding, JobState
from lightbox.domain.study import Attributes, Described, Instance
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.domain.urgency import Urged, Urgency
from lightbox.ports import Ledger
from lightbox.schedule.place import Place
from lightbox.studies.assemble import Assemble

Wants = Callable[[Job, Result, str, Callable[[], frozenset[str]]], bool]
"""Whether a destination (by name) is to get this result of this job, that these AE titles sent."""

Unfinished = Callable[[str], Iterable[Job]]
"""Study Instance UID → its jobs without an end, as they are now."""

Describe = Callable[[str], Attributes]
"""Path of a stored file, relative to the data directory → its header attributes."""

_NOT_MEANT = "the configuration does not send this here"


class Road:
    """Leads events to the doors of studies, schedule and deliver (the ``control`` process)."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        describe: Describe,
        assemble: Assemble,
        place: Place,
        sends: Mapping[str, Send],
        wants: Wants,
        packages: Mapping[str, ModelPackage],
        audits: AuditPolicy,
        commitments: Commitments,
        unfinished: Unfinished,
        changes: Changes,
    ) -> None:
        self._ledger = ledger
        self._describe = describe
        self._assemble = assemble
        self._place = place
        self._sends = sends
        self._wants = wants
        self._packages = packages
        self._audits = audits
        self._commitments = commitments
        self._unfinished = unfinished
        self._changes = changes
        self._successors: dict[str, str] = {}

    def configure(
        self, describe: Describe, wants: Wants, audits: AuditPolicy, sends: Mapping[str, Send]
    ) -> None:
        """Lead by other rules and to other destinations from now on."""
        self._describe, self._wants = describe, wants
        self._audits, self._sends = audits, sends

    def follow(self, recorded: Recorded, job: Job | None) -> None:
        """Lead one event to its next door; ``job`` is the one that the event belongs to."""
        self._complete(recorded.event.study)
        self._commitments.follow(recorded)
        self._changes.follow(recorded)
        match recorded.event:
            case InstanceStored() as event:
                self._record(self._take(event))
                if event.again:
                    self._try_again(event)
            case AssociationReleased() as event:
                self._record(self._assemble.released(event))
            case ServiceMarked(role="receive", what="started") as event:
                self._assemble.restarted(event)
            case StudyReady() as event:
                self._place.place(event)
            case StudyUrged() as event:
                self._urge(event)
            case Predicted() as event if job is not None and job.path is JobPath.FAST:
                self._urge_where_critical(recorded, event, job)
                self._audit_where_due(event, job)
            case JobPlaced(job=newer):
                self._know(newer)
                self._urge_late(newer)
            case ResultsWritten() as event if job is not None:
                self._send(recorded, event, job)
            case _:
                pass

    def is_meant(self, job: Job, result: Result, destination: str) -> bool:
        """Say whether the configuration sends this result of this job there."""
        return self._wants(job, result, destination, partial(senders, self._ledger, job))

    def send_on(self, parcel: Parcel, destination: str, job: Job | None) -> None:
        """After a start: send what has not arrived, where it is still meant to go there."""
        if job is None or self.is_meant(job, parcel.result, destination):
            self._sends[destination].resume(parcel)
        else:
            self._record((_not_taken(job, parcel.result, destination, _NOT_MEANT),))

    def tick(self) -> float | None:
        """Close the series that are due; return when the next one will be (or None)."""
        self._record(self._assemble.due())
        return self._assemble.next_due()

    def resume(self, account: Account, history: Sequence[Recorded], arrived_since: float) -> None:
        """After a start: lead on what the last run left behind, from the ledger alone.

        Doing again what was done already changes nothing: every door derives its names.
        """
        self._commitments.resume(history)
        self.recall(history)
        for waiting in account.waiting_instances(arrived_since):
            self._record(self._take(waiting))
        for recorded in history:
            if isinstance(recorded.event, ServiceMarked | AssociationReleased | ImagesRejected):
                self.follow(recorded, None)
        for unit in account.unplaced_units():
            self._place.place(unit)
        for recorded in history:
            self._go_on(recorded, account)
        self._place.again(account.unplaced_jobs())
        for job in account.unplaced_jobs():
            self._urge_late(job)

    def _go_on(self, recorded: Recorded, account: Account) -> None:
        """After a start: do what nobody may have done after this row."""
        match recorded.event:
            case Predicted() as event:
                standing = account.job(event.job_id)
                if standing is not None and not standing.is_superseded:
                    self.follow(recorded, standing.job)
            case ResultsWritten() as event:
                standing = account.job(event.job_id)
                if standing is not None:
                    self._settle(recorded, event, standing)
            case InstanceStored() as event if event.again:
                self._try_again(event, recorded.at)
            case _:
                pass

    def _take(self, event: InstanceStored) -> tuple[Event, ...]:
        instance = event.instance
        if is_ours(self._ledger, instance, self._sends):
            known = "made by this service: the ledger knows its UID"
            return (_listed(instance, ListedReason.OWN_RESULT, known),)
        try:
            described = Described(instance, event.arrival, self._describe(instance.path))
            taken = self._assemble.take(described)
            return self._changes.with_changes(described, taken, self._describe)
        except UnreadableError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001  # a stranger's header must not stop everybody
            why = f"its header cannot be dealt with ({type(error).__name__})"
        return (_listed(instance, ListedReason.UNREADABLE, why),)

    def _try_again(self, event: InstanceStored, before: float = math.inf) -> None:
        """Try the jobs again that failed, before this time, while this instance's file was torn."""
        account = StudyAccount(event.study, Expectations())
        for row in self._ledger.timeline(event.study):
            account.apply(row)
        for standing in tuple(account.jobs_of(event.instance.sop_instance_uid)):
            has_failed = standing.state is JobState.FAILED and standing.ended_at < before
            if has_failed and standing.reason not in CHOSEN:
                job = replace(standing.job, attempt=standing.job.attempt + 1)
                by = f"{event.arrival.calling_ae}, which sent an instance again"
                self._record((JobRetried(event.study, job.job_id, job.attempt, by),))
                self._place.again([job])

    def _send(self, recorded: Recorded, event: ResultsWritten, job: Job) -> None:
        is_late, settled = self._came_too_late(recorded, event), list[Event]()
        gone = [name for name in event.destinations if name not in self._sends]
        for name in (*gone, *self._sends):
            for result in event.results:
                if why := self._why_not(job, result, name, is_late=is_late):
                    settled.append(_not_taken(job, result, name, why))
                else:
                    self._sends[name].take(event.job_id, event.study, result, job.urgency)
        self._record(settled)

    def _settle(self, recorded: Recorded, event: ResultsWritten, standing: JobStanding) -> None:
        """After a start: settle what goes nowhere; the rest is in its outbox, which asks for this.

        It was written while nobody followed, or before the configuration changed.
        """
        is_late, job = self._came_too_late(recorded, event), standing.job
        left = [way for way in standing.deliveries if not way.state.is_end]
        reasons = (self._why_not(job, way.result, way.destination, is_late=is_late) for way in left)
        self._record(
            tuple(
                _not_taken(job, way.result, way.destination, why)
                for way, why in zip(left, reasons, strict=True)
                if why
            )
        )

    def _why_not(self, job: Job, result: Result, destination: str, *, is_late: bool) -> str:
        """Say why a destination does not get a result, "" where it does."""
        if destination not in self._sends:
            return "the configuration has no destination of this name any more"
        if is_late:  # the newer result does not say that it replaces this one
            return "a newer result of the same images was there before it"
        return "" if self.is_meant(job, result, destination) else _NOT_MEANT

    def recall(self, history: Sequence[Recorded]) -> None:
        """Remember what the doors knew in the last run."""
        self._changes.recall(history)
        for recorded in history:
            if isinstance(recorded.event, StudyReady):
                self._assemble.recall(recorded.event)
            elif isinstance(recorded.event, StudyUrged):
                self._assemble.urge(recorded.event)
            elif isinstance(recorded.event, ImagesRejected):
                self._assemble.reject(recorded.event)
            elif isinstance(recorded.event, JobPlaced):
                self._know(recorded.event.job)

    def _complete(self, study: str) -> None:
        """Remember again what was dropped for its age of a study that is open all the same."""
        if self._assemble.lacks(study):
            self.recall(self._ledger.timeline(study))

    def forget(self, studies: Collection[str]) -> None:
        """Let the doors forget what is settled; :meth:`recall` brings it back."""
        self._assemble.forget(studies)
        self._changes.forget(studies)

    def _know(self, newer: Job) -> None:
        if newer.supersedes:
            self._successors[newer.supersedes] = newer.job_id

    def _came_too_late(self, written: Recorded, event: ResultsWritten) -> bool:
        """Say whether a newer job has explained these images and more before this was written."""
        successor = self._successors.get(event.job_id)
        explained = self._ledger.find(f"attributed:{successor}") if successor else None
        return explained is not None and is_before(explained, written)

    def _urge(self, event: StudyUrged) -> None:
        self._assemble.urge(event)
        for job in self._unfinished(event.study):
            self._place.move(job, event.urged)

    def _urge_late(self, newer: Job) -> None:
        """Move a job that was placed while its study was urged: nobody knew of it then."""
        urged = self._assemble.urged(newer.study_instance_uid)
        if urged is not None:
            for job in self._unfinished(newer.study_instance_uid):
                if job.job_id == newer.job_id:
                    self._place.move(job, urged)

    def _urge_where_critical(self, recorded: Recorded, event: Predicted, job: Job) -> None:
        """Raise what is still to be done of a study in which something critical was found."""
        package = self._packages.get(job.model)
        found = None if package is None else critical(event.prediction, package)
        if found is not None:
            rule = f"critical finding {found} by {job.model}"
            urged = Urged(Urgency.HIGH, rule, recorded.at, is_floor=True)
            self._record((StudyUrged(event.study, urged),))

    def _audit_where_due(self, event: Predicted, job: Job) -> None:
        package = self._packages.get(job.model)
        if package is None:
            return
        reason = why_audit(event.prediction, package, job, self._audits)
        if reason is not None:
            off_peak = can_wait(event.prediction, package, job)
            self._place.audit(job, reason, off_peak=off_peak)

    def _record(self, events: Sequence[Event]) -> None:
        if events:
            self._ledger.record(*events)


def _listed(instance: Instance, reason: ListedReason, why: str) -> InstanceListed:
    uids = instance.study_instance_uid, instance.sop_instance_uid
    return InstanceListed(*uids, instance.sha256, reason, why)


def _not_taken(job: Job, result: Result, destination: str, why: str) -> NotTaken:
    return NotTaken(job.study_instance_uid, job.job_id, result.sop_instance_uid, destination, why)
