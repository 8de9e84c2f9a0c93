"""Storage commitment as SCU (PS3.4 J): "sent" becomes "kept", or the result is sent again.

All results of a study that were stored within a moment make one transaction. It is in the ledger
before the destination is asked, so a report finds its results whenever it comes, on whichever
association, after a restart too.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lightbox.deliver.commitment.book import Book, Open
from lightbox.deliver.outbox import Parcel
from lightbox.deliver.retry import wait
from lightbox.deliver.rounds import Rounds
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.commitment import CommitmentAsked, CommitmentFailed, Reference
from lightbox.domain.events import DeadLettered, Event, Recorded
from lightbox.ports import Clock, Ledger
from lightbox.settings import DestinationSettings

GATHER = 2.0
"""Seconds from a stored result to the question: the other results of its study come along."""

ASK_WITHIN = 86400.0
"""Seconds; what was stored longer ago and never asked for is left alone: an administrator who
switches commitment on does not want it for years of results."""

_GRACE = 60.0
"""Seconds after a start in which a report that found us away may come again."""

_LONGEST_PAUSE = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    """A transaction that is recorded and not asked yet; ``at`` is monotonic."""

    transaction: str
    attempt: int = 0
    at: float = 0.0


class Commitment:
    """Asks one destination to keep what it stored, from a thread of its own.

    Parameters
    ----------
    settings : DestinationSettings
        Name, retries, ``commitment_within``.
    ask : callable
        (transaction, references) → nothing, or ``DestinationError``.
    hang_up : callable
        Releases the association that ``ask`` keeps.
    ledger : Ledger
        Gets each transaction before it is asked, and what became of each result.
    resend : callable
        Queues a result for its destination again.
    clock : Clock
        Time.
    """

    def __init__(
        self,
        settings: DestinationSettings,
        *,
        ask: Callable[[str, Sequence[Reference]], object],
        hang_up: Callable[[], object],
        ledger: Ledger,
        resend: Callable[[Parcel], object],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ask = ask
        self._hang_up = hang_up
        self._ledger = ledger
        self._resend = resend
        self._clock = clock
        self._book = Book(settings)
        self._gathering: dict[str, float] = {}
        self._questions: deque[_Question] = deque()
        self._due: dict[str, float] = {}
        self._unreached = 0
        self._paused_until = 0.0
        self._used_at: float | None = None
        self._changed = threading.RLock()
        self._rounds = Rounds(
            f"commitment-{settings.name}", self.do_due, clock, settings.retry_first
        )

    # -------------------------------------------------------------------------- from other threads
    def resume(self, history: Sequence[Recorded]) -> None:
        """Take in what was recorded before this start."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        with self._changed:
            for row in history:
                self._book.take_in(row)
            self._book.leave_alone(now - ASK_WITHIN)
            for study in self._book.unasked():
                self._gathering[study] = monotonic + GATHER
            within = self._settings.commitment_within
            for each in self._book.all_waiting():
                left = each.asked_at + within - now
                grace = min(_GRACE, within)
                self._due[each.asked.transaction] = monotonic + min(max(left, grace), within)

    def follow(self, row: Recorded) -> None:
        """Take in one row; what follows from it is done in the thread of this destination."""
        with self._changed:
            self._book.take_in(row)
            for study in self._book.unasked(row.at):
                self._gathering.setdefault(study, self._clock.monotonic() + GATHER)
            is_due = bool(self._gathering or self._book.reports)
        if is_due:
            self._rounds.ring()

    def start(self) -> None:
        """Start asking in a thread."""
        self._rounds.start()

    def close(self, seconds: float) -> None:
        """Stop, waiting at most so long; what is open stays in the ledger."""
        self._rounds.close(seconds)
        self._hang_up()

    # ----------------------------------------------------------------------------- in its own thread
    def do_due(self) -> float | None:
        """Do all that is due now; return the monotonic time of the next thing to do."""
        self._judge_reports()
        self._judge_silence()
        self._put_questions()
        self._ask_due()
        return self._next_at()

    def _judge_reports(self) -> None:
        while True:
            with self._changed:
                if not self._book.reports:
                    return
                report = self._book.reports[0]
                events = tuple(self._book.answers(report))
            self._record(events)
            with self._changed:
                self._book.reports.remove(report)

    def _judge_silence(self) -> None:
        now, within = self._clock.monotonic(), self._settings.commitment_within
        for transaction in [name for name, at in self._due.items() if at <= now]:
            with self._changed:
                events = tuple(self._book.silence(transaction, within))
            self._record(events)
            del self._due[transaction]

    def _put_questions(self) -> None:
        """Write down what will be asked."""
        now = self._clock.monotonic()
        with self._changed:
            ready = [study for study, at in self._gathering.items() if at <= now]
        for study in ready:
            with self._changed:
                question = self._book.question(study)
            if question is not None:
                self._record((question,))
                self._questions.append(_Question(question.transaction))
            with self._changed:
                self._gathering.pop(study, None)

    def _ask_due(self) -> None:
        for _ in range(len(self._questions)):
            now = self._clock.monotonic()
            if self._rounds.closing or now < self._paused_until:
                return
            question = self._questions.popleft()
            with self._changed:
                found = self._book.waiting(question.transaction)
            if found is None:
                continue
            if now < question.at:
                self._questions.append(question)
            else:
                self._put(question, found)

    def _put(self, question: _Question, found: Open) -> None:
        try:
            self._ask(question.transaction, found.references)
        except DestinationError as error:
            self._not_asked(question, error)
            return
        self._unreached = 0
        self._used_at = self._clock.monotonic()
        self._due[question.transaction] = self._used_at + self._settings.commitment_within

    def _not_asked(self, question: _Question, error: DestinationError) -> None:
        first, now = self._settings.retry_first, self._clock.monotonic()
        if error.action is Action.UNREACHABLE:
            if not self._unreached:
                _log.warning("questions for storage commitment wait for %s", error)
            self._unreached += 1
            pause = wait(self._unreached, first, self._settings.name)
            self._paused_until = now + min(pause, _LONGEST_PAUSE)
            self._questions.appendleft(question)
            return
        attempt = question.attempt + 1
        if error.action is Action.RETRY and attempt <= self._settings.retries:
            at = now + wait(attempt, first, question.transaction)
            self._questions.append(replace(question, attempt=attempt, at=at))
            return
        with self._changed:
            events = tuple(self._book.refusal(question.transaction, str(error)))
        self._record(events)

    def _record(self, events: Sequence[Event]) -> None:
        """Make it durable, then act on it: what was not kept is sent again or given up."""
        if not events:
            return
        with self._changed:
            again = {e.sop_instance_uid for e in events if isinstance(e, CommitmentFailed)}
            again -= {e.sop_instance_uid for e in events if isinstance(e, DeadLettered)}
            parcels = [self._book.parcel_again(uid) for uid in sorted(again)]
        rows = self._ledger.record(*events)
        with self._changed:
            for row in rows:
                self._book.take_in(row)
        for event in events:
            _say(event)
        for parcel in parcels:
            self._resend(parcel)

    def _next_at(self) -> float | None:
        now = self._clock.monotonic()
        times = [*self._due.values()]
        if self._used_at is not None:
            if now >= self._used_at + self._settings.idle:
                self._hang_up()
                self._used_at = None
            else:
                times.append(self._used_at + self._settings.idle)
        times += [max(each.at, self._paused_until) for each in self._questions]
        with self._changed:
            times += self._gathering.values()
        return min(times, default=None)


def _say(event: Event) -> None:
    """Tell people what they may have to look at."""
    match event:
        case CommitmentFailed():
            _log.warning(
                "%s did not commit to %s: %s",
                event.destination,
                event.sop_instance_uid,
                event.detail,
            )
        case DeadLettered():
            _log.error("%s: %s: %s", event.destination, event.sop_instance_uid, event.reason)
        case CommitmentAsked():
            _log.debug("%s is asked to keep %d results", event.destination, len(event.results))
        case _:
            pass
