"""What lies on the operator's desk: open jobs, dead letters, what destinations said last.

Kept up with each event, so that looking costs what is open and not what ever was. The account
says how each of these stands; this only knows which ones to ask it for.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.account import Account
from lightbox.domain.commitment import Committed
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    JobPlaced,
    Recorded,
)
from lightbox.domain.jobs import Job
from lightbox.domain.standing import JobStanding


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A result that a destination did not take, and why; ``at`` is when it was given up."""

    job: Job
    sop_instance_uid: str
    destination: str
    attempts: int
    reason: str
    at: float
    is_stored: bool
    """The destination said that it has it, and did not commit to keeping it."""


@dataclass(frozen=True, slots=True)
class LastWord:
    """What a destination answered last; ``reason`` is "" where it took a result."""

    at: float
    reason: str = ""
    retry_at: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether it took what it was sent."""
        return not self.reason


class Desk:
    """Follows the ledger beside the account; read and fed under control's lock.

    Attributes
    ----------
    changed : set of str
        Studies with news; whoever keeps lines of studies takes them out.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._open: dict[str, None] = {}
        self._dead: dict[tuple[str, str], tuple[float, DeadLettered]] = {}
        self._said: dict[str, LastWord] = {}
        self.changed: set[str] = set()

    def take(self, recorded: Recorded) -> None:
        """Take a row in that the account has taken in before."""
        event = recorded.event
        if event.study:
            self.changed.add(event.study)
        if isinstance(event, JobPlaced):
            if event.job.supersedes:
                self._open.pop(event.job.supersedes, None)
            self._look_at(event.job.job_id)
            return
        job_id = getattr(event, "job_id", None)
        if job_id is None:
            return
        self._deliveries(recorded)
        self._look_at(job_id)

    def jobs(self) -> tuple[JobStanding, ...]:
        """Return the jobs without an end, the one that was placed first before the others."""
        standings = (self._account.job(name) for name in tuple(self._open))
        return tuple(each for each in standings if each is not None)

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Return what was given up, the newest first."""
        found = []
        for at, event in self._dead.values():
            job = self._account.placed_job(event.job_id)
            if job is not None:
                uid, stored = event.sop_instance_uid, event.again > 0
                found.append(
                    DeadLetter(job, uid, event.destination, event.attempt, event.reason, at, stored)
                )
        return tuple(sorted(found, key=lambda each: each.at, reverse=True))

    def last_word(self, destination: str) -> LastWord | None:
        """Return what a destination said last; None where nothing was sent to it yet."""
        return self._said.get(destination)

    def _look_at(self, job_id: str) -> None:
        standing = self._account.job(job_id)
        if standing is None or standing.state.is_end or standing.is_superseded:
            self._open.pop(job_id, None)
        else:
            self._open[job_id] = None

    def _deliveries(self, recorded: Recorded) -> None:
        event = recorded.event
        match event:
            case DeadLettered():
                self._dead[event.sop_instance_uid, event.destination] = (recorded.at, event)
                self._say(event.destination, LastWord(recorded.at, event.reason))
            case DeliveryDelayed():
                self._dead.pop((event.sop_instance_uid, event.destination), None)
                word = LastWord(recorded.at, event.reason, event.retry_at)
                self._say(event.destination, word)
            case Delivered() | Committed():
                self._dead.pop((event.sop_instance_uid, event.destination), None)
                self._say(event.destination, LastWord(recorded.at))
            case DeliveryRevived():
                self._dead.pop((event.sop_instance_uid, event.destination), None)
            case _:
                pass

    def _say(self, destination: str, word: LastWord) -> None:
        known = self._said.get(destination)
        if known is None or word.at >= known.at:
            self._said[destination] = word
