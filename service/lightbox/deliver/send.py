"""The door of deliver: a result in, ``Delivered`` (or why not) out, however long that takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from lightbox.deliver.breaker import Breaker
from lightbox.deliver.outbox import Outbox, Parcel
from lightbox.deliver.retry import LONGEST, wait
from lightbox.deliver.rounds import Rounds
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.errors import DeliveryError, LedgerError
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    NotTaken,
    Recorded,
)
from lightbox.domain.hours import Hours
from lightbox.domain.result import PICTURES, Result
from lightbox.domain.urgency import AT_ONCE, Urgency
from lightbox.ports import Clock, Destination, Ledger
from lightbox.settings import DestinationSettings

_log = logging.getLogger(__name__)


def _nobody(_: Recorded) -> None:
    """Tell nobody."""


def _nothing(_: Parcel) -> bool:
    """Hold nothing."""
    return False


class Send:
    """The outbox of one destination and the thread that empties it.

    While the destination cannot be reached, the result that found this out leads: its tries are
    counted and recorded, the others wait uncounted until an echo is answered. A result that was
    given up only because nobody answered goes out by itself when the destination is back.
    Outside of the destination's hours a study waits, unless any of its results is urgent.

    Parameters
    ----------
    destination : Destination
        Where results go.
    ledger : Ledger
        Gets one event for each attempt.
    settings : DestinationSettings
        Kinds, retries.
    clock : Clock
        Time of retries.
    told : callable
        Called with each recorded row, from the thread of this destination.
    is_held : callable (parcel) → bool
        Whether a person has stopped the sending of this result; it waits for :meth:`release`.
    """

    def __init__(
        self,
        destination: Destination,
        ledger: Ledger,
        settings: DestinationSettings,
        clock: Clock,
        told: Callable[[Recorded], None] = _nobody,
        is_held: Callable[[Parcel], bool] = _nothing,
    ) -> None:
        self._destination = destination
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._told = told
        self._is_held = is_held
        self._held: list[Parcel] = []
        self._outbox = Outbox()
        self._breaker = Breaker(settings.name, settings.retry_first)
        self._leader: Parcel | None = None
        self._unreached: list[Parcel] = []
        self._not_taken: set[str] = set()
        self._used_at: float | None = None
        self._hours = Hours.read(settings.window) if settings.window else None
        self._off_peak: dict[str, Parcel] = {}
        self._opens_at = 0.0
        self._successor: Callable[[Parcel], object] | None = None
        self._changed = threading.RLock()
        self._rounds = Rounds(
            f"deliver-{settings.name}", self.deliver_due, clock, settings.retry_first
        )

    def take(self, job_id: str, study: str, result: Result, urgency: Urgency) -> bool:
        """Queue a new result; False if this destination does not get its kind or has it queued."""
        return self.resume(Parcel(job_id, study, result, urgency))

    def resume(self, parcel: Parcel) -> bool:
        """Queue what a former process left, or what a person revives (``given_up_at`` set)."""
        if parcel.result.kind.value not in self._settings.kinds:
            return False
        left = min(parcel.retry_at - self._clock.now(), LONGEST)
        due = self._clock.monotonic() + left if left > 0.0 else 0.0
        with self._changed:
            if self._successor is not None:
                self._successor(parcel)  # it came by the old way, and goes the new one
                return True
            new = self._outbox.put(replace(parcel, retry_at=due))
            first = self._off_peak.get(parcel.study)
            if first is not None and (parcel.urgency in AT_ONCE or parcel.job_id != first.job_id):
                self._let_go(parcel.study)  # to go at once, or to say of this job too that it waits
        self._rounds.ring()
        return new

    def release(self) -> None:
        """Look again at what was held; what is not held any more goes out, no try counted."""
        with self._changed:
            for parcel in self._held:
                self._outbox.put_back(parcel)
            self._held.clear()
        self._rounds.ring()

    def waiting(self) -> int:
        """Return how many results have not arrived yet."""
        with self._changed:
            return len(self._outbox)

    def start(self) -> None:
        """Start delivering in a thread."""
        self._rounds.start()

    def close(self, seconds: float) -> None:
        """Stop after the result in hand, waiting at most so long; what waits stays in the ledger."""
        self._rounds.close(seconds)
        self._destination.close()

    def hand_over(self, successor: Callable[[Parcel], object]) -> None:
        """Give another what has not arrived, and all that still comes; ``close`` comes before.

        With the tries that it had, due at once: the other way may be the right one. What was given
        up only because nobody answered is among it.
        """
        leader = self._leader
        with self._changed:
            left = [
                leader if leader is not None and each.result == leader.result else each
                for each in self._outbox.all()
            ]
            for each in (*left, *self._unreached):
                successor(replace(each, retry_at=0.0))
            self._successor = successor

    def deliver_due(self) -> float | None:
        """Deliver all that is due now; return the monotonic time of the next thing to do."""
        while not self._rounds.closing:
            now = self._clock.monotonic()
            if self._breaker.is_open and self._leader is not None:
                if now < min(self._breaker.probe_at, self._leader.retry_at):
                    break
                self._probe(now)
                continue
            with self._changed:
                self._open_window(now)
                parcel = self._outbox.take(now)
                if parcel is not None and self._is_held(parcel):
                    self._held.append(parcel)  # the later ones of its study wait behind it
                    continue
                if parcel is not None and self._is_withdrawn(parcel):
                    self._outbox.done(parcel)  # somebody has settled it meanwhile
                    continue
            if parcel is None:
                break
            if not self._put_off(parcel):
                self._deliver(parcel)
        return self._next_at()

    def _is_withdrawn(self, parcel: Parcel) -> bool:
        """Say whether the ledger has it that this result is not to go there any more."""
        settled = NotTaken(*self._of(parcel), reason="")
        try:
            return self._ledger.find(settled.key) is not None
        except LedgerError:
            return False  # the attempt will say so

    def _put_off(self, parcel: Parcel) -> bool:
        """Keep a result for the destination's hours, the later ones of its study behind it."""
        if self._hours is None:
            return False
        now = self._clock.now()
        seconds = self._hours.wait(datetime.fromtimestamp(now, UTC).astimezone())
        with self._changed:
            if not seconds or self._outbox.most_urgent(parcel.study) in AT_ONCE:
                return False
            self._off_peak[parcel.study] = parcel
            self._opens_at = self._clock.monotonic() + seconds
            waits = self._outbox.first_of_each_job(parcel.study)
        reason = f"waits for the hours of this destination, {self._settings.window}"
        events = (
            DeliveryDelayed(
                *self._of(each), each.attempt, reason, retry_at=now + seconds, is_tried=False
            )
            for each in waits
        )
        self._unless_unrecorded(parcel, partial(self._record, *events))
        return True

    def _open_window(self, now: float) -> None:
        if now >= self._opens_at:
            for study in tuple(self._off_peak):
                self._let_go(study)

    def _let_go(self, study: str) -> None:
        parcel = self._off_peak.pop(study, None)
        if parcel is not None:
            self._outbox.put_back(parcel)

    def _next_at(self) -> float | None:
        now = self._clock.monotonic()
        times: list[float] = []
        if self._used_at is not None:
            if now >= self._used_at + self._settings.idle:
                self._destination.close()
                self._used_at = None
            else:
                times.append(self._used_at + self._settings.idle)
        if self._breaker.is_open and self._leader is not None:
            times.append(min(self._breaker.probe_at, self._leader.retry_at))
        else:
            with self._changed:
                due = self._outbox.next_at()
                times.extend([self._opens_at] if self._off_peak else [])
            times.extend([] if due is None else [due])
        return min(times, default=None)

    def _probe(self, now: float) -> None:
        """Ask whether the destination is back; the leader's try counts when its time has come."""
        leader = self._leader
        try:
            self._destination.echo()
        except DeliveryError as error:
            self._breaker.failed(self._clock.monotonic())
            if leader is not None and leader.retry_at <= now:
                delay = partial(self._delay, leader, error)
                self._leader = self._unless_unrecorded(leader, delay)
        else:
            self._reached()

    def _deliver(self, parcel: Parcel) -> None:
        unrecorded = self._unless_unrecorded(parcel, partial(self._attempt, parcel))
        if unrecorded is not None:
            with self._changed:
                self._outbox.put_back(unrecorded)

    def _unless_unrecorded(
        self, parcel: Parcel, what: Callable[[], Parcel | None]
    ) -> Parcel | None:
        """Do it; where the ledger did not take the event, the same parcel again later."""
        try:
            return what()
        except LedgerError as error:
            _log.error("%s: %s", self._settings.name, error)  # one line for people
            pause = max(self._settings.retry_first, 1.0)
            return replace(parcel, retry_at=self._clock.monotonic() + pause)

    def _attempt(self, parcel: Parcel) -> Parcel | None:
        """Send once; return the parcel if it has to wait in the outbox for its next try."""
        try:
            note = self._destination.send(parcel.result)
        except DestinationError as error:
            return self._refused(parcel, error)
        except DeliveryError as error:
            return self._delay(parcel, error)
        except Exception as error:  # noqa: BLE001  # worker loop: one odd object must not stop the others
            _log.exception("%s: %s", self._settings.name, parcel.result.sop_instance_uid)
            reason = f"{type(error).__name__}: {error}"
            mend = "send this line to support"
            return self._delay(parcel, DeliveryError(self._settings.name, reason, mend))
        self._reached()
        attempt, again = parcel.attempt + 1, parcel.again
        delivered = Delivered(*self._of(parcel), attempt=attempt, note=note, again=again)
        self._end(parcel, delivered)
        return None

    def _refused(self, parcel: Parcel, error: DestinationError) -> Parcel | None:
        if error.action is Action.UNREACHABLE:
            if self._rounds.closing:
                return parcel  # it was cut because we stop: no attempt, no event
            if not self._breaker.is_open:
                _log.warning("results wait for %s", error)
            self._breaker.failed(self._clock.monotonic())
            self._leader = self._delay(parcel, error)
            return None
        self._reached()
        if error.action is Action.RETRY:
            return self._delay(parcel, error)
        picture = parcel.result.kind in PICTURES
        if error.action is Action.NOT_TAKEN and not picture:
            if parcel.result.sop_class_uid not in self._not_taken:
                self._not_taken.add(parcel.result.sop_class_uid)
                _log.warning("%s", error)
            self._end(parcel, NotTaken(*self._of(parcel), reason=str(error)))
        else:
            self._give_up(parcel, error)
        return None

    def _delay(self, parcel: Parcel, error: DeliveryError) -> Parcel | None:
        """Count an attempt; return the parcel with the time of its next one, None if it was last."""
        attempt = parcel.attempt + 1
        if attempt - parcel.given_up_at > self._settings.retries:
            self._give_up(parcel, error)
            return None
        pause = wait(
            attempt - parcel.given_up_at,
            self._settings.retry_first,
            parcel.result.sop_instance_uid,
        )
        self._record(
            DeliveryDelayed(
                *self._of(parcel),
                attempt=attempt,
                reason=str(error),
                retry_at=self._clock.now() + pause,
            )
        )
        return replace(parcel, attempt=attempt, retry_at=self._clock.monotonic() + pause)

    def _give_up(self, parcel: Parcel, error: DeliveryError) -> None:
        attempt = parcel.attempt + 1
        unanswered = isinstance(error, DestinationError) and error.action is Action.UNREACHABLE
        dead = DeadLettered(
            *self._of(parcel),
            attempt=attempt,
            reason=str(error),
            again=parcel.again,
            unanswered=unanswered,
        )
        self._end(parcel, dead)
        _log.warning("gave up %s: %s", parcel.result.sop_instance_uid, error)
        if unanswered:
            self._unreached.append(replace(parcel, attempt=attempt, given_up_at=attempt))

    def _reached(self) -> None:
        """Note that the destination answers; what waited for that may go."""
        self._used_at = self._clock.monotonic()
        if not self._breaker.is_open:
            return
        self._breaker.answered()
        _log.info("%s answers again", self._settings.name)
        with self._changed:
            if self._leader is not None:
                self._outbox.put_back(replace(self._leader, retry_at=0.0))
            for parcel in reversed(self._unreached):
                self._outbox.put_first(replace(parcel, retry_at=0.0))
        self._leader = None
        self._unreached.clear()

    def _of(self, parcel: Parcel) -> tuple[str, str, str, str]:
        uid = parcel.result.sop_instance_uid
        return parcel.study, parcel.job_id, uid, self._settings.name

    def _end(self, parcel: Parcel, event: Event) -> None:
        self._record(event)
        with self._changed:
            self._outbox.done(parcel)

    def _record(self, *events: Event) -> None:
        """Write it down, then tell of it."""
        for row in self._ledger.record(*events):
            self._told(row)
