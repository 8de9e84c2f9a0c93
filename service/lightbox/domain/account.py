"""The account: what became of every accepted instance, job, result and study.

A fold over recorded events, one study at a time (``study_account.py``). It keeps facts by name and
judges only when asked, so the order in which the chains of several processes are read does not
matter, and a row applied twice changes nothing. Every accepted instance is delivered, listed with
a reason, or in progress with an owner and a deadline: never none of these, never two.

An account need not hold every study: what is settled can be forgotten, and is folded again from
its rows when something new comes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from operator import itemgetter

from lightbox.domain.events import InstanceStored, JobPlaced, Recorded, StudyReady
from lightbox.domain.jobs import Job
from lightbox.domain.result import Disposition
from lightbox.domain.standing import (
    DeliveryStanding,
    InstanceStanding,
    JobStanding,
    StudyStanding,
    Totals,
)
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.domain.urgency import Deadlines


class Account:
    """Applies recorded events; answers where everything that it holds stands.

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
        self.expected = Expectations(
            tuple(destinations), deadlines or Deadlines(), assemble_within, frozenset(commits)
        )
        self._of: dict[str, StudyAccount] = {}
        self._study_of_job: dict[str, str] = {}
        self.positions: dict[str, int] = {}

    @classmethod
    def expecting(cls, expected: Expectations) -> Account:
        """Return an empty account of a site whose expectations are known."""
        account = cls()
        account.expected = expected
        return account

    def apply(self, recorded: Recorded) -> None:
        """Take one row in; rows may come in any order and more than once."""
        position = self.positions.get(recorded.chain, 0)
        self.positions[recorded.chain] = max(position, recorded.sequence)
        event = recorded.event
        if not event.study:
            return
        of_study = self._of.get(event.study)
        if of_study is None:
            of_study = self._of[event.study] = StudyAccount(event.study, self.expected)
        if isinstance(event, JobPlaced):
            self._study_of_job.setdefault(event.job.job_id, event.study)
        of_study.apply(recorded)

    def forget(self, study: str) -> None:
        """Drop all that is known of a study; its rows bring it back."""
        forgotten = self._of.pop(study, None)
        for job_id in forgotten.job_ids() if forgotten else ():
            del self._study_of_job[job_id]

    def holds(self, study: str) -> bool:
        """Say whether rows of this study were applied and not forgotten."""
        return study in self._of

    def of(self, study: str) -> StudyAccount:
        """Return the account of one study; an empty one where it is not held."""
        return self._of.get(study) or StudyAccount(study, self.expected)

    def held(self) -> tuple[str, ...]:
        """Return the names of the studies that are held, in the order of recording."""
        return tuple(self._of)

    # ------------------------------------------------------------------------- at the next start
    def waiting_instances(self, arrived_since: float = math.inf) -> tuple[InstanceStored, ...]:
        """Return instances that belong to no unit, job or list yet: to be assembled again.

        Of a study of which one arrived at or after ``arrived_since`` all come, unless they are
        listed: a unit of one model may be ready while that of another still waits for its quiet
        period.
        """
        return tuple(i for each in self._of.values() for i in each.waiting_instances(arrived_since))

    def unplaced_units(self) -> tuple[StudyReady, ...]:
        """Return units that are ready, have no job and are not listed: to be placed again."""
        return tuple(unit for each in self._of.values() for unit in each.unplaced_units())

    def unplaced_jobs(self) -> tuple[Job, ...]:
        """Return jobs without an end, in the order of placing: to be given to the queue again.

        A job that a newer revision supersedes is not among them.
        """
        jobs = [job for each in self._of.values() for job in each.unplaced_jobs()]
        return tuple(sorted(jobs, key=_placed_at))

    def undelivered(self, destination: str) -> tuple[DeliveryStanding, ...]:
        """Return what this destination has yet to get, in the order of writing.

        Results whose successor is written are not sent any more.
        """
        found = [pair for each in self._of.values() for pair in each.undelivered(destination)]
        return tuple(delivery for _, delivery in sorted(found, key=itemgetter(0)))

    # -------------------------------------------------------------------------- where things stand
    def instances(self) -> tuple[InstanceStanding, ...]:
        """Return every accepted instance with its disposition, study by study."""
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
        found = (each.standing() for each in self._of.values())
        return tuple(study for study in found if study.instances)

    def study(self, study_instance_uid: str) -> StudyStanding:
        """Return one study; one without instances where none is known by this UID."""
        return self.of(study_instance_uid).standing()

    def placed_job(self, job_id: str) -> Job | None:
        """Return a job by its name, without asking how far it has come."""
        return self.of(self._study_of_job.get(job_id, "")).placed_job(job_id)

    def job(self, job_id: str) -> JobStanding | None:
        """Return one job, or None where it was never placed."""
        return self.of(self._study_of_job.get(job_id, "")).job(job_id)

    def jobs_of(self, uid: str = "") -> tuple[JobStanding, ...]:
        """Return the jobs that a UID names (of a study, an instance or a result); all for "".

        Superseded revisions stay out.
        """
        return tuple(job for each in self._of.values() for job in each.jobs_of(uid))

    def strangers(self) -> tuple[str, ...]:
        """Name what events speak of although it was never accepted or placed: missing rows."""
        return tuple(name for each in self._of.values() for name in each.strangers())

    # -------------------------------------------------------------------------------- judging
    def _each_instance(self) -> Iterator[InstanceStanding]:
        return (standing for each in self._of.values() for standing in each.instances())


def _placed_at(job: Job) -> tuple[float, str]:
    return (job.placed_at, job.job_id)
