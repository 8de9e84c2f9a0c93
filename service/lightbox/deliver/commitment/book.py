"""Which results a destination still owes us a promise for: folded from events, without I/O.

The same rows may come more than once: those that this process writes are taken in at once, and
again when the ledger is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lightbox.deliver.outbox import Parcel
from lightbox.domain.commitment import (
    FAILURE_REASONS,
    NO_REPORT,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentReported,
    Committed,
    Reference,
    ResultReference,
)
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    Event,
    JobFailed,
    JobMoved,
    JobPlaced,
    NotTaken,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.identity import derived_uid
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings

TRIES = 3
"""How often a result is stored and asked for before it is given up as "not committed"."""

_MOST_EARLY = 50  # of transactions that we do not know: strangers must not fill the memory


@dataclass(frozen=True, slots=True)
class Open:
    """A transaction that may still be reported on.

    Attributes
    ----------
    asked_at : float
        Seconds since 1970.
    """

    asked: CommitmentAsked
    asked_at: float
    waiting: frozenset[str]

    @property
    def references(self) -> tuple[Reference, ...]:
        """What was asked for."""
        return tuple(Reference(r.sop_class_uid, r.sop_instance_uid) for r in self.asked.results)


class Book:
    """One destination's results from "stored" to "committed". Not thread-safe.

    Parameters
    ----------
    settings : DestinationSettings
        Name and kinds.
    """

    def __init__(self, settings: DestinationSettings) -> None:
        self._to = settings
        self._urgencies: dict[str, Urgency] = {}
        self._parcels: dict[str, Parcel] = {}
        self._stored: dict[str, Delivered] = {}
        self._begun: dict[str, int] = {}
        self._unasked: dict[str, dict[str, float]] = defaultdict(dict)
        self._open: dict[str, Open] = {}
        self._early: dict[str, CommitmentReported] = {}
        self.reports: list[CommitmentReported] = []

    # ------------------------------------------------------------------------------- taking in
    def take_in(self, row: Recorded) -> None:
        """Take in what was recorded, in the order of each chain."""
        match row.event:
            case JobPlaced(job=job):
                self._urgencies[job.job_id] = job.urgency
            case JobMoved(job_id=job_id) as event if job_id in self._urgencies:
                self._urgencies[job_id] = event.urgency
            case JobFailed(job_id=job_id):
                self._urgencies.pop(job_id, None)
            case ResultsWritten() as event:
                self._written(event)
            case CommitmentReported() as event:
                self._reported(event)
            case CommitmentAsked() as event if event.destination == self._to.name:
                self._asked(event, row.at)
            case (
                Delivered() | DeadLettered() | NotTaken() | Committed() | CommitmentFailed()
            ) as event if event.destination == self._to.name:
                self._of_result(event, row.at)
            case _:
                pass

    def _written(self, event: ResultsWritten) -> None:
        urgency = self._urgencies.pop(event.job_id, Urgency.ROUTINE)
        for result in event.results:
            if result.kind.value in self._to.kinds:
                parcel = Parcel(event.job_id, event.study, result, urgency)
                self._parcels.setdefault(result.sop_instance_uid, parcel)

    def _of_result(
        self,
        event: Delivered | DeadLettered | NotTaken | Committed | CommitmentFailed,
        at: float,
    ) -> None:
        uid = event.sop_instance_uid
        match event:
            case Delivered():
                known = self._stored.get(uid)
                if uid in self._parcels and (known is None or known.again < event.again):
                    self._stored[uid] = event
                    self._unasked[event.study][uid] = at
            case DeadLettered():
                self._begun[uid] = event.again
                self._no_longer_waiting(uid, event.study)
            case CommitmentFailed():
                self._no_longer_waiting(uid, event.study)
            case NotTaken() | Committed():
                self._no_longer_waiting(uid, event.study)
                for facts in (self._parcels, self._stored, self._begun):
                    facts.pop(uid, None)
                self._forget_settled()

    def _asked(self, event: CommitmentAsked, at: float) -> None:
        if event.transaction in self._open:
            return
        uids = frozenset(r.sop_instance_uid for r in event.results) & self._parcels.keys()
        if uids:
            self._open[event.transaction] = Open(event, at, uids)
        for uid in uids:
            self._asked_for(uid, event.study)
        early = self._early.pop(event.transaction, None)
        if early is not None:
            self.reports.append(early)

    def _reported(self, event: CommitmentReported) -> None:
        if event.transaction in self._open:
            self.reports.append(event)
            return
        self._early[event.transaction] = event  # the chains are not read at one moment
        if len(self._early) > _MOST_EARLY:
            del self._early[next(iter(self._early))]

    def _asked_for(self, uid: str, study: str) -> None:
        of_study = self._unasked.get(study, {})
        of_study.pop(uid, None)
        if not of_study:
            self._unasked.pop(study, None)

    def _no_longer_waiting(self, uid: str, study: str) -> None:
        self._asked_for(uid, study)
        for name, each in self._open.items():
            if uid in each.waiting:
                self._open[name] = replace(each, waiting=each.waiting - {uid})

    def _forget_settled(self) -> None:
        for name, each in tuple(self._open.items()):
            if not any(r.sop_instance_uid in self._parcels for r in each.asked.results):
                del self._open[name]

    # -------------------------------------------------------------------------------- what next
    def unasked(self, since: float = 0.0) -> tuple[str, ...]:
        """Name the studies with results that were stored since and not asked for."""
        return tuple(
            study
            for study, uids in self._unasked.items()
            if any(at >= since for at in uids.values())
        )

    def leave_alone(self, before: float) -> None:
        """Forget what was stored before this time and was never asked for."""
        for study, uids in tuple(self._unasked.items()):
            for uid in [uid for uid, at in uids.items() if at < before]:
                self._asked_for(uid, study)
                self._parcels.pop(uid, None)
                self._stored.pop(uid, None)

    def waiting(self, transaction: str) -> Open | None:
        """Return an open transaction, None where nobody waits for it any more."""
        found = self._open.get(transaction)
        return found if found is not None and found.waiting else None

    def all_waiting(self) -> tuple[Open, ...]:
        """Return the transactions that results wait for."""
        return tuple(each for each in self._open.values() if each.waiting)

    def question(self, study: str) -> CommitmentAsked | None:
        """Make one transaction of all that was stored of a study and not asked for."""
        uids = sorted(self._unasked.get(study, ()))
        if not uids:
            return None
        rounds = (f"{uid}:{self._stored[uid].again}" for uid in uids)
        transaction = derived_uid("commitment", self._to.name, study, *rounds)
        results = tuple(self._reference(uid) for uid in uids)
        return CommitmentAsked(study, self._to.name, transaction, results)

    def answers(self, report: CommitmentReported) -> Iterator[Event]:
        """Yield what a report means for each result of its transaction."""
        found = self._open.get(report.transaction)
        if found is None:
            return
        jobs = {r.sop_instance_uid: r.job_id for r in found.asked.results}
        study, name = found.asked.study, self._to.name
        refused = {each.sop_instance_uid: each.reason for each in report.failed}
        for uid in report.kept:
            if uid in jobs and uid in self._parcels and uid not in refused:
                yield Committed(study, jobs[uid], uid, name, report.transaction)
        for uid in found.waiting & refused.keys():
            said = FAILURE_REASONS.get(refused[uid], "a reason that the standard does not know")
            yield from self._failed(found, uid, refused[uid], f"0x{refused[uid]:04X} {said}")

    def silence(self, transaction: str, seconds: float) -> Iterator[Event]:
        """Yield what follows where no report came in time."""
        found = self._open.get(transaction)
        if found is not None:
            for uid in found.waiting:
                yield from self._failed(found, uid, NO_REPORT, f"no report within {seconds:g} s")

    def refusal(self, transaction: str, why: str) -> Iterator[Event]:
        """Yield what follows where the destination cannot be asked at all."""
        found = self._open.get(transaction)
        if found is not None:
            for uid in found.waiting:
                yield self._given_up(uid, why)

    def parcel_again(self, uid: str) -> Parcel:
        """Return a stored result, to be sent once more."""
        stored = self._stored[uid]
        return replace(
            self._parcels[uid],
            attempt=stored.attempt,
            given_up_at=stored.attempt,
            again=stored.again + 1,
        )

    def _failed(self, found: Open, uid: str, reason: int, detail: str) -> Iterator[Event]:
        asked, stored = found.asked, self._stored[uid]
        yield CommitmentFailed(
            asked.study, stored.job_id, uid, asked.destination, asked.transaction, reason, detail
        )
        if stored.again - self._begun.get(uid, 0) + 1 >= TRIES:
            yield self._given_up(uid, f"{detail}, {TRIES} times")

    def _given_up(self, uid: str, why: str) -> DeadLettered:
        stored = self._stored[uid]
        return DeadLettered(
            stored.study,
            stored.job_id,
            uid,
            self._to.name,
            stored.attempt,
            f"stored but not committed: {why}",
            again=stored.again + 1,
        )

    def _reference(self, uid: str) -> ResultReference:
        parcel = self._parcels[uid]
        return ResultReference(parcel.job_id, parcel.result.sop_class_uid, uid)
