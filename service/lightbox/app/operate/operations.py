"""What operators do to a running service: retry, cancel, audit, urgency, stop, resume.

Commands (through ``letterbox.py``) and the console ask the same object. Everything that was asked
for is in the ledger with the name of who asked; what came of it are events of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lightbox.app.catalogue import methods
from lightbox.app.operate.letterbox import Letterbox
from lightbox.app.operate.removed import Accounts, removed_of, why_gone
from lightbox.app.operate.replacement import Replacement
from lightbox.app.operate.retrying import Destinations, Retrying
from lightbox.app.operate.switch import Flag, Switch
from lightbox.app.questions.off_peak import OffPeak
from lightbox.domain.account import Account
from lightbox.domain.errors import ConfigurationError, LedgerError, OperationError
from lightbox.domain.events import (
    JobFailed,
    JobRetried,
    OperatorActed,
    StudyUrged,
    acted_on,
    drill_held,
)
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.operations import (
    ALL,
    Action,
    Outcome,
    Request,
    job_words,
    resume_words,
    stop_words,
)
from lightbox.domain.result import ListedReason
from lightbox.domain.standing import JobStanding, JobState
from lightbox.domain.urgency import Urged, Urgency
from lightbox.explain.plugin import GameMethod
from lightbox.ports import Clock, Ledger, Queue
from lightbox.schedule.place import Place
from lightbox.storage.files import Files

_log = logging.getLogger(__name__)

_LOOKS = 2
"""Looks after a resume in which what waited is placed again: another thread may just have placed
a job that the first look does not know of yet. Placing twice is placing once."""
_CAN_CANCEL = frozenset(
    {JobState.PLACED, JobState.STARTED, JobState.PREDICTED, JobState.ATTRIBUTED}
)


class Records(Accounts, Protocol):
    """All that was ever accepted, a study at a time (``ledger/read_model/read.py``)."""

    def study_of(self, uid: str) -> str:
        """Return the study that a UID of a study, an instance or a result belongs to, or ""."""
        ...

    def needing_person(self) -> tuple[str, ...]:
        """Return studies with something that failed."""
        ...


class Operations:
    """Does what a person asks, and follows the stop switch.

    Parameters
    ----------
    account : Account
        Where everything stands that is open; read under ``lock``.
    read_model : Records
        Where anything stands that ever was.
    destinations : mapping of str to (DestinationSettings, Send)
        By name.
    off_peak : OffPeak or None
        The hours of audits that nobody asked for.
    replacement : Replacement or None
        Replaces models.
    """

    def __init__(
        self,
        *,
        root: Path,
        ledger: Ledger,
        account: Account,
        read_model: Records,
        lock: AbstractContextManager[object],
        place: Place,
        queue: Queue,
        destinations: Destinations,
        switch: Switch,
        clock: Clock,
        off_peak: OffPeak | None = None,
        replacement: Replacement | None = None,
    ) -> None:
        self._ledger = ledger
        self._off_peak = off_peak
        self._account = account
        self._records = read_model
        self._lock = lock
        self._place = place
        self._queue = queue
        self._destinations = destinations
        self._retrying = Retrying(ledger, read_model, place)
        self._take_up: Callable[[Request], Outcome] | None = None
        self._erases: Callable[[Request], Outcome] | None = None
        self._replacement = replacement
        self._switch = switch
        self._letterbox = Letterbox(root, Files(), clock)
        self.one_at_a_time = threading.Lock()
        self._stopped = switch.stopped()
        self._is_noted = False
        self._go_on_for = 0
        switch.prepare()
        self._letterbox.prepare()

    def configure(self, destinations: Destinations) -> None:
        """Know other destinations from now on."""
        self._destinations = destinations

    def reload_with(self, take_up: Callable[[Request], Outcome]) -> None:
        """Have this take up another configuration when a person asks for it."""
        self._take_up = take_up

    def erase_with(self, erases: Callable[[Request], Outcome]) -> None:
        """Have this erase a study when a person asks for it."""
        self._erases = erases

    def perform(self, request: Request) -> Outcome:
        """Do what is asked.

        Raises
        ------
        OperationError
            If it cannot be done; nothing was changed then.
        LedgerError
            If it could not be written down. The stop switch works all the same.
        """
        do: dict[Action, Callable[[Request], Outcome]] = {
            "retry": self._retry,
            "cancel": self._cancel,
            "audit": self._audit,
            "urgency": self._urge,
            "reload": self._reload,
            "drill": self._drill,
            "stop": self._stop,
            "resume": self._resume,
            "erase": self._erase,
            "use": self._use,
            "rollback": self._use,
        }
        with self.one_at_a_time:
            return do[request.action](request)

    def look(self) -> None:
        """Answer the commands and follow the switch; control calls this several times a second."""
        self._letterbox.look(self.perform)
        now = self._switch.stopped()
        if now != self._stopped or not self._is_noted:
            before, self._stopped = self._stopped, now
            if now != before or (now and not self._is_noted):
                _log.warning("stopped: %s", ", ".join(sorted(now)) or "nothing any more")
            self._is_noted = False
            self._note()
            if before - now:
                self._go_on_for = _LOOKS
        if self._go_on_for:
            self._go_on_for -= 1
            self._go_on()

    def stopped(self) -> tuple[Flag, ...]:
        """Return what is stopped now, by whom and since when."""
        return self._switch.flags()

    # ------------------------------------------------------------------------- retry and cancel
    def _retry(self, request: Request) -> Outcome:
        uid = "" if request.subject == ALL else request.subject
        return self._retrying.again(request, self._jobs(uid), self._destinations)

    def _cancel(self, request: Request) -> Outcome:
        jobs = [job for job in self._jobs(request.subject) if job.state in _CAN_CANCEL]
        if not jobs:
            line = f"{request.subject}: no job of it waits or runs"
            return Outcome(is_done=False, lines=(line,))
        self._ledger.record(acted_on(request, {job.job.study_instance_uid for job in jobs}))
        for standing in jobs:
            job = standing.job
            self._ledger.record(
                JobFailed(
                    job.study_instance_uid,
                    job.job_id,
                    ListedReason.CANCELLED,
                    f"cancelled by {request.by}",
                    job.attempt,
                )
            )
            self._queue.cancel(job.job_id)
        return Outcome(
            is_done=True, lines=tuple(f"{job_words(job.job)}: cancelled" for job in jobs)
        )

    # ------------------------------------------------------------------------------------ audit
    def _audit(self, request: Request) -> Outcome:
        can = {name for name, method in methods().items() if isinstance(method, GameMethod)}
        if request.method not in can:
            known = ", ".join(sorted(can))
            raise OperationError(
                f"method {request.method}", "cannot audit", f"those that can: {known}"
            )
        fast = [job for job in self._jobs(request.subject) if job.job.path is JobPath.FAST]
        if not any(job.prediction for job in fast):
            raise OperationError(
                request.subject, "has no fast result to audit yet", "ask when it is there"
            )
        self._ledger.record(acted_on(request, {job.job.study_instance_uid for job in fast}))
        lines = [self._audit_of(job, request.method, request.by) for job in fast if job.prediction]
        return Outcome(
            is_done=any(is_placed for is_placed, _ in lines), lines=tuple(line for _, line in lines)
        )

    def _audit_of(self, fast: JobStanding, method: str, by: str) -> tuple[bool, str]:
        job = fast.job
        if why := why_gone(job, removed_of(self._records, (fast,))):
            return False, f"{job_words(fast.job)}: {why}"
        name = job_identity(JobPath.AUDIT, job.instances, job.model_sha256, method)
        known = self._records.account_of((job.study_instance_uid,)).job(name)
        if known is not None and known.state in _CAN_CANCEL and self._waits(known.job):
            again = replace(known.job, attempt=known.job.attempt + 1)
            self._ledger.record(JobRetried(again.study_instance_uid, name, again.attempt, by))
            self._place.again([again])
            return True, f"{job_words(known.job)}: begins now, not in the off-peak hours"
        if known is not None:
            mend = "; try it again: lightbox retry" if known.state is JobState.FAILED else ""
            return False, f"{job_words(known.job)}: is there already ({known.state}){mend}"
        placed = self._place.audit(job, f"requested by {by}", method)
        return True, f"audit by {method} of {placed.job.model}: placed"

    def _waits(self, job: Job) -> bool:
        return self._off_peak is not None and self._off_peak.holds(job)

    # ------------------------------------------------------------------------------- urgency
    def _urge(self, request: Request) -> Outcome:
        allowed = (Urgency.STAT, Urgency.HIGH, Urgency.ROUTINE)
        if request.urgency not in allowed:
            raise OperationError(
                f"urgency {request.urgency!r}",
                "is none that a study can have",
                f"one of {', '.join(allowed)}",
            )
        urgency, study = Urgency(request.urgency), self._study_of(request.subject)
        jobs = self._records.account_of((study,)).jobs_of()
        rule = f"{urgency} by {request.by}"
        urged = Urged(urgency, rule, request.at, is_floor=False)
        acted = OperatorActed(
            request.action, request.subject, request.by, request.at, study, urgency.value
        )
        self._ledger.record(acted, StudyUrged(study, urged))
        waiting = [job for job in jobs if job.job.path is JobPath.FAST and not job.state.is_end]
        lines = [f"{job_words(job.job)}: {job.job.urgency} to {urgency}" for job in waiting]
        rest = f"study {study}: what is still to come of it is {urgency}"
        return Outcome(is_done=True, lines=(*lines, rest))

    def _study_of(self, uid: str) -> str:
        study = self._records.study_of(uid)
        if not study:
            raise OperationError(uid, "is not known here", "see: lightbox studies")
        return study

    def _drill(self, request: Request) -> Outcome:
        """Note that a drill was held beside this service, which it did not touch."""
        self._ledger.record(drill_held(request))
        return Outcome(is_done=True, lines=("noted in the ledger",))

    def _reload(self, request: Request) -> Outcome:
        if self._take_up is None:
            raise OperationError("configuration", "cannot be taken up yet", "ask again in a moment")
        self._ledger.record(OperatorActed("reload", ALL, request.by, request.at))
        try:
            return self._take_up(request)
        except ConfigurationError as error:
            old = "the old configuration stays in force"
            raise OperationError(error.thing, f"{error.reason}; {old}", error.mend) from None

    def _erase(self, request: Request) -> Outcome:
        if self._erases is None:
            raise OperationError(request.subject, "cannot be erased yet", "ask again in a moment")
        return self._erases(request)

    def _use(self, request: Request) -> Outcome:
        replacement = self._replacement
        if replacement is None:
            raise OperationError(request.subject, "cannot be replaced here", "restart the service")
        return (replacement.use if request.action == "use" else replacement.roll_back)(request)

    # ------------------------------------------------------------------------------- stop switch
    def _stop(self, request: Request) -> Outcome:
        is_new = self._switch.stop(Flag(request.subject, request.by, request.at))
        return Outcome(is_done=True, lines=(stop_words(request.subject, is_new=is_new),))

    def _resume(self, request: Request) -> Outcome:
        is_new = self._switch.resume(Flag(request.subject, request.by, request.at))
        return Outcome(is_done=True, lines=(resume_words(request.subject, is_new=is_new),))

    def _note(self) -> None:
        """Record who set and took away each flag; what is recorded already changes nothing."""
        stops = [OperatorActed("stop", f.model, f.by, f.at) for f in self._switch.flags()]
        resumes = [OperatorActed("resume", f.model, f.by, f.at) for f in self._switch.lifted()]
        try:
            self._ledger.record(*stops, *resumes)
        except LedgerError as error:
            _log.error(
                "the stop switch works and is not recorded yet: %s", error
            )  # one line for people
            return
        self._is_noted = True

    def _go_on(self) -> None:
        """Give what waited to the queue and to the destinations."""
        with self._lock:
            waiting = self._account.unplaced_jobs()
        self._place.again(waiting)
        for _, send in self._destinations.values():
            send.release()

    def _jobs(self, uid: str) -> tuple[JobStanding, ...]:
        studies = (self._study_of(uid),) if uid else self._records.needing_person()
        account = self._records.account_of(studies)
        jobs = account.jobs_of(uid)
        if jobs or not uid:
            return jobs
        study = account.study(studies[0])
        reasons = sorted({s.verdict.detail or s.verdict.reason for s in study.instances} - {""})
        raise OperationError(
            uid, f"has no job: {'; '.join(reasons) or 'it is not complete yet'}", "see the timeline"
        )
