"""One webhook: what it is still to be told, and the thread that tells it."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from lightbox.deliver.access.secret import reveal
from lightbox.deliver.access.web import Request, WebConnection
from lightbox.deliver.retry import wait
from lightbox.deliver.webhooks.body import NAME, SIGNATURE, body_of, signature
from lightbox.domain.errors import ConfigurationError, DeliveryError, LedgerError
from lightbox.domain.events import Recorded
from lightbox.domain.webhooks import (
    Happening,
    Notification,
    NotificationDelayed,
    NotificationDropped,
    NotificationEvent,
    NotificationSent,
)
from lightbox.ports import Clock, Ledger
from lightbox.settings import DestinationSettings, WebhookSettings
from lightbox.version import __version__

_GONE = 410
_NOTED_AFTER = 0.25
"""Seconds after which a notification that could not be tried yet is written down as waiting."""
_CUT_SECONDS = 0.5
_BREATHER = 5.0
"""Longest pause of a webhook after an attempt that failed, seconds: others are due meanwhile."""

_log = logging.getLogger(__name__)


def _nobody(_: Recorded) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A notification on its way.

    Attributes
    ----------
    due : float
        Not before this time, seconds of the owner's monotonic clock.
    number : int
        Of its arrival, for order among equals.
    attempt : int
        Attempts so far.
    since : float
        When it came, monotonic.
    is_noted : bool
        The ledger knows that it waits.
    """

    due: float
    number: int
    notification: Notification = field(compare=False)
    attempt: int = field(default=0, compare=False)
    since: float = field(default=0.0, compare=False)
    is_noted: bool = field(default=False, compare=False)


class Call:
    """Tells one webhook what happened, in a thread of its own.

    Parameters
    ----------
    settings : WebhookSettings
        Address, secret, retries.
    ledger : Ledger
        Gets one event for each attempt; knows what was told before.
    clock : Clock
        Time of retries and signatures.
    name_of : callable (str) → str
        Keyed hash of a UID.
    told : callable
        Called with each recorded row.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        ledger: Ledger,
        clock: Clock,
        name_of: Callable[[str], str],
        told: Callable[[Recorded], None] = _nobody,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._name_of = name_of
        self._told = told
        self._query = urlsplit(settings.url).query
        self._web = WebConnection(_as_destination(settings))
        self._waiting: list[Waiting] = []
        self._names: set[str] = set()
        self._arrivals = 0
        self._not_before = 0.0
        self._failures = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, name=f"webhook-{settings.name}", daemon=True
        )

    def put(self, notification: Notification, attempt: int = 0, retry_at: float = 0.0) -> bool:
        """Take a notification; False if this webhook is not told of such, or it waits already.

        Parameters
        ----------
        attempt : int
            Attempts so far, by the ledger.
        retry_at : float
            Not before this time, seconds since 1970.
        """
        if notification.about.value not in self._settings.on:
            return False
        now = self._clock.monotonic()
        due = now + max(0.0, retry_at - self._clock.now()) if retry_at else now
        with self._changed:
            if notification.name in self._names:
                return False
            self._names.add(notification.name)
            self._arrivals += 1
            one = Waiting(due, self._arrivals, notification, attempt, now, is_noted=retry_at > 0)
            heapq.heappush(self._waiting, one)
            self._changed.notify_all()
        return True

    def waiting(self) -> int:
        """Return how many notifications this webhook has not got yet."""
        with self._changed:
            return len(self._names)

    def note(self) -> None:
        """Write down what could not be tried at once: a restart must find it."""
        before = self._clock.monotonic() - _NOTED_AFTER
        with self._changed:
            late = [one for one in self._waiting if not one.is_noted and one.since <= before]
            if not late:
                return
            self._waiting = [
                replace(one, is_noted=True) if one in late else one for one in self._waiting
            ]
        now = self._clock.now()
        for one in late:
            self._record(
                NotificationDelayed(*self._of(one), one.attempt, "others are before it", now)
            )

    def start(self) -> None:
        """Start telling."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Stop, waiting at most so long for the answer in hand; what waits stays in the ledger."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(seconds)
            self._web.cut()
            self._thread.join(_CUT_SECONDS)
        if not self._thread.is_alive():
            self._web.close()

    def tell_due(self) -> float | None:
        """Tell all that is due now; return the monotonic time of the next thing to do."""
        while not self._closing:
            now = self._clock.monotonic()
            with self._changed:
                if not self._waiting:
                    return None
                due = max(self._waiting[0].due, self._not_before)
                if due > now:
                    return due
                one = heapq.heappop(self._waiting)
            self._tell(one)
        return None

    def _run(self) -> None:
        while True:
            at = self.tell_due()
            with self._changed:
                if self._closing:
                    return
                if at is None and self._waiting:
                    continue  # it came between the two
                left = None if at is None else max(0.0, at - self._clock.monotonic())
                self._changed.wait(left)

    def _tell(self, one: Waiting) -> None:
        try:
            again = self._attempt(one)
        except LedgerError as error:
            _log.error("webhook %s: %s", self._settings.name, error)  # one line for people
            pause = max(self._settings.retry_first, 1.0)
            again = replace(one, due=self._clock.monotonic() + pause)
        with self._changed:
            if again is None:
                self._names.discard(one.notification.name)
            else:
                heapq.heappush(self._waiting, again)

    def _attempt(self, one: Waiting) -> Waiting | None:
        """Tell once; return it if it has to wait for another time."""
        if self._ledger.find(f"notification_sent:{one.notification.name}:{self._settings.name}"):
            return None
        code, why = self._post(one.notification)
        attempt = one.attempt + 1
        if 200 <= code < 300:
            self._failures, self._not_before = 0, 0.0
            self._record(NotificationSent(*self._of(one), attempt))
            return None
        if self._closing and not code:
            return one  # it was cut because we stop: no attempt, no event
        self._failures += 1
        now = self._clock.monotonic()
        if not code:
            self._not_before = now + min(2.0 ** min(self._failures - 1, 8), _BREATHER)
        if attempt > self._settings.retries or code == _GONE:
            _log.warning("webhook %s: given up: %s", self._settings.name, why)
            self._record(NotificationDropped(*self._of(one), attempt, why))
            return None
        if self._failures == 1:
            _log.warning("webhook %s: %s; tried again later", self._settings.name, why)
        pause = wait(attempt, self._settings.retry_first, one.notification.name)
        self._record(NotificationDelayed(*self._of(one), attempt, why, self._clock.now() + pause))
        return replace(one, due=now + pause, attempt=attempt, is_noted=True)

    def _post(self, notification: Notification) -> tuple[int, str]:
        """Return the HTTP code, 0 for no answer, and the words for it."""
        given = self._settings
        body = body_of(notification, self._name_of, patient=given.patient_data)
        try:
            secret = reveal(given.secret, f"webhooks.{given.name}.secret")
            headers = {
                "Content-Type": "application/json",
                "User-Agent": f"Lightbox/{__version__}",
                NAME: notification.name,
                SIGNATURE: signature(secret, int(self._clock.now()), body),
            }
            path = f"?{self._query}" if self._query else ""
            code, _ = self._web.exchange(Request("POST", path, headers, body))
        except DeliveryError as error:
            return 0, error.reason
        except ConfigurationError as error:
            return 0, str(error)
        except Exception as error:  # noqa: BLE001  # worker loop: one odd answer must not stop the others
            _log.exception("webhook %s", given.name)
            return 0, type(error).__name__
        return code, f"HTTP {code}"

    def _of(self, one: Waiting) -> tuple[str, str, Happening, str]:
        told = one.notification
        return told.study, told.name, told.about, self._settings.name

    def _record(self, event: NotificationEvent) -> None:
        for row in self._ledger.record(event):
            self._told(row)


def _as_destination(given: WebhookSettings) -> DestinationSettings:
    """Return what the connection reads: a webhook is an address with TLS and a time limit."""
    return DestinationSettings(
        name=given.name,
        stow=given.url.partition("?")[0],
        tls=given.tls,
        answer_within=given.answer_within,
    )
