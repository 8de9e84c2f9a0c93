"""Which happenings go to which webhook: the control thread only looks and queues, never waits.

Live it follows the rows that the account has taken in; after a restart it asks the account where
everything stands. Both derive the same notifications, and what the ledger says was sent or dropped
is not sent again.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lightbox.deliver.webhooks.call import Call
from lightbox.domain.account import Account
from lightbox.domain.events import (
    Attributed,
    DeadLettered,
    Delivered,
    InstanceListed,
    JobFailed,
    JobMoved,
    JobPlaced,
    NotTaken,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.webhooks import (
    Notification,
    NotificationDelayed,
    NotificationDropped,
    NotificationSent,
    WebhookKnown,
    of_instance,
    of_job,
)
from lightbox.ports import Clock, Ledger

_REMEMBERED = 10_000
"""Notifications that are told apart without asking the ledger."""


class Webhooks:
    """Follows the ledger for the programs that want to be told.

    Parameters
    ----------
    calls : mapping of str to Call
        By name of the webhook.
    ledger : Ledger
        Where a webhook that is new is noted.
    account : Account
        Where everything stands; read under ``lock``.
    clock : Clock
        For deadlines.
    """

    def __init__(
        self,
        *,
        calls: Mapping[str, Call],
        ledger: Ledger,
        account: Account,
        lock: AbstractContextManager[object],
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._ledger = ledger
        self._account = account
        self._lock = lock
        self._clock = clock
        self._deadlines: list[tuple[float, str]] = []
        self._seen: OrderedDict[str, None] = OrderedDict()

    def waiting(self) -> Mapping[str, int]:
        """Return how many notifications wait, by webhook."""
        return {name: call.waiting() for name, call in self._calls.items()}

    def resume(self, history: Sequence[Recorded]) -> None:
        """After a start: queue what happened and is not told yet, from the ledger alone."""
        if not self._calls:
            return
        since = {name: self._known_since(name) for name in self._calls}
        told = _Told.of(history)
        for notification in self._happened(history):
            for name, call in self._calls.items():
                if notification.at < since[name] or (notification.name, name) in told.done:
                    continue
                attempt, retry_at = told.waiting.get((notification.name, name), (0, 0.0))
                call.put(notification, attempt, retry_at)
            self._is_new(notification)
        for call in self._calls.values():
            call.start()

    def follow(self, rows: Iterable[Recorded]) -> None:
        """Take in rows that the account has taken in."""
        if not self._calls:
            return
        for notification in self._happened(rows):
            if self._is_new(notification):
                self._put(notification)

    def look(self) -> None:
        """Find deadlines that have passed, and note what waits; several times a second."""
        now = self._clock.now()
        while self._deadlines and self._deadlines[0][0] < now:
            _, job_id = heapq.heappop(self._deadlines)
            self._look_again(job_id, now)
            for notification in self._of_job(job_id):
                if self._is_new(notification):
                    self._put(notification)
        for call in self._calls.values():
            call.note()

    def close(self, seconds: float) -> None:
        """Stop telling."""
        for call in self._calls.values():
            call.close(seconds)

    def _put(self, notification: Notification) -> None:
        for call in self._calls.values():
            call.put(notification)

    def _known_since(self, name: str) -> float:
        """Return from when on a webhook is told; what happened before it came is not its business."""
        (row,) = self._ledger.record(WebhookKnown(name, self._clock.now()))
        assert isinstance(row.event, WebhookKnown)
        return row.event.at

    def _happened(self, rows: Iterable[Recorded]) -> Iterable[Notification]:
        """Yield what these rows bring about; a job is asked once, by where it stands now."""
        jobs: dict[str, None] = {}
        for recorded in rows:
            match recorded.event:
                case JobPlaced(job=job):
                    heapq.heappush(self._deadlines, (job.deadline, job.job_id))
                    jobs[job.job_id] = None
                case JobMoved() as event:
                    heapq.heappush(self._deadlines, (event.deadline, event.job_id))
                case (
                    Attributed() | ResultsWritten() | JobFailed()
                    | Delivered() | DeadLettered() | NotTaken()
                ) as event:  # fmt: skip
                    jobs[event.job_id] = None
                case InstanceListed() as event:
                    yield from of_instance(event.study, event.reason, event.detail, recorded.at)
                case _:
                    pass
        for job_id in jobs:
            yield from self._of_job(job_id)

    def _look_again(self, job_id: str, now: float) -> None:
        """Note a deadline that was put off, for a destination's hours, since it was noted."""
        with self._lock:
            job = self._account.placed_job(job_id)
        if job is not None and job.deadline > now:
            heapq.heappush(self._deadlines, (job.deadline, job_id))

    def _of_job(self, job_id: str) -> tuple[Notification, ...]:
        with self._lock:
            standing = self._account.job(job_id)
        return () if standing is None else tuple(of_job(standing, self._clock.now()))

    def _is_new(self, notification: Notification) -> bool:
        if notification.name in self._seen:
            return False
        self._seen[notification.name] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True)
class _Told:
    """What the ledger says of each notification (name, webhook)."""

    done: frozenset[tuple[str, str]]
    waiting: Mapping[tuple[str, str], tuple[int, float]]

    @classmethod
    def of(cls, rows: Iterable[Recorded]) -> _Told:
        done: set[tuple[str, str]] = set()
        waiting: dict[tuple[str, str], tuple[int, float]] = {}
        for recorded in rows:
            match recorded.event:
                case NotificationSent() | NotificationDropped() as event:
                    done.add((event.notification, event.webhook))
                case NotificationDelayed() as event:
                    which = (event.notification, event.webhook)
                    newest = (event.attempt, event.retry_at)
                    waiting[which] = max(newest, waiting.get(which, newest))
                case _:
                    pass
        return cls(frozenset(done), waiting)
