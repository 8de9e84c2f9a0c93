"""Storage commitment as SCP (PS3.4 J): whoever asked us to keep objects gets a report.

The request was recorded before it was answered, so a report is owed until it is delivered or given
up, whatever happens in between. It says what is true when it is sent: each file is hashed again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from lightbox.deliver.retry import wait
from lightbox.deliver.rounds import Rounds
from lightbox.domain.commitment import (
    CommitmentAnswered,
    CommitmentRequested,
    Failure,
    Reference,
)
from lightbox.domain.errors import DeliveryError
from lightbox.domain.events import Recorded
from lightbox.ports import Clock, Ledger
from lightbox.settings import DestinationSettings

Judge: TypeAlias = Callable[[Reference], int]
"""An object → 0 where we hold it, else the Failure Reason (0008,1197)."""

SendReport: TypeAlias = Callable[
    [DestinationSettings, str, Sequence[Reference], Sequence[Failure]], object
]
"""(peer, transaction, kept, failed) → nothing, or ``DeliveryError``."""

STRANGERS = 60.0
"""Seconds for the receive process to report to a peer whose address nobody knows."""

_PAUSE = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Owed:
    """A report that the peer does not have yet; ``at`` is monotonic."""

    request: CommitmentRequested
    attempt: int = 0
    at: float = 0.0


class Reporter:
    """Answers requests for storage commitment, from a thread of its own.

    Parameters
    ----------
    peers : mapping of str to DestinationSettings
        AE title → where its reports go.
    judge : callable
        Says whether we hold an object.
    send : callable
        Sends a report over a new association.
    ledger : Ledger
        Gets one event for each request that is settled.
    clock : Clock
        Time of retries.
    """

    def __init__(
        self,
        peers: Mapping[str, DestinationSettings],
        *,
        judge: Judge,
        send: SendReport,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._peers = dict(peers)
        self._judge = judge
        self._send = send
        self._ledger = ledger
        self._clock = clock
        self._owed: dict[str, _Owed] = {}
        self._settled: set[str] = set()  # whose answers came before their requests
        self._told: set[str] = set()  # whose answers we wrote and have not read yet
        self._changed = threading.RLock()
        self._rounds = Rounds("commitment-reports", self.do_due, clock, _PAUSE)

    def configure(self, peers: Mapping[str, DestinationSettings]) -> None:
        """Answer to other addresses from now on."""
        self._peers = dict(peers)

    def follow(self, row: Recorded) -> None:
        """Take in one row; rows may come in any order."""
        match row.event:
            case CommitmentRequested() as event:
                with self._changed:
                    if event.name in self._settled:
                        self._settled.discard(event.name)
                        return
                    at = 0.0 if event.calling_ae in self._peers else self._in_a_while()
                    self._owed.setdefault(event.name, _Owed(event, at=at))
                self._rounds.ring()
            case CommitmentAnswered(request=request):
                with self._changed:
                    if request in self._told:
                        self._told.discard(request)
                    elif self._owed.pop(request, None) is None:
                        self._settled.add(request)
            case _:
                pass

    def start(self) -> None:
        """Start reporting in a thread."""
        self._rounds.start()

    def close(self, seconds: float) -> None:
        """Stop after the report in hand, waiting at most so long; the ledger knows the rest."""
        self._rounds.close(seconds)

    def do_due(self) -> float | None:
        """Send all reports that are due; return the monotonic time of the next."""
        now = self._clock.monotonic()
        with self._changed:
            due = [name for name, owed in self._owed.items() if owed.at <= now]
        for name in due:
            with self._changed:
                owed = None if self._rounds.closing else self._owed.get(name)
            if owed is not None:
                self._report(owed)
        with self._changed:
            return min((owed.at for owed in self._owed.values()), default=None)

    def _in_a_while(self) -> float:
        """Who has no address may have the report on the association of the request already."""
        return self._clock.monotonic() + STRANGERS

    def _report(self, owed: _Owed) -> None:
        request = owed.request
        peer = self._peers.get(request.calling_ae)
        if peer is None:
            why_not = (
                f"it took no report on its own association, and no [[destinations]] entry has "
                f"ae_title {request.calling_ae}: add one (with kinds = [] it gets no results)"
            )
            self._settle(request, 0, (), why_not)
            return
        kept, failed = self._judged(request)
        try:
            self._send(peer, request.transaction, kept, failed)
        except DeliveryError as error:
            if owed.attempt < peer.retries:
                self._later(owed, peer, error)
            else:
                self._settle(request, len(kept), failed, str(error))
        else:
            self._settle(request, len(kept), failed, "")

    def _judged(
        self, request: CommitmentRequested
    ) -> tuple[tuple[Reference, ...], tuple[Failure, ...]]:
        reasons = [(each, self._judge(each)) for each in request.references]
        kept = tuple(each for each, reason in reasons if not reason)
        failed = tuple(
            Failure(each.sop_class_uid, each.sop_instance_uid, reason)
            for each, reason in reasons
            if reason
        )
        return kept, failed

    def _later(self, owed: _Owed, peer: DestinationSettings, error: DeliveryError) -> None:
        attempt, name = owed.attempt + 1, owed.request.name
        if attempt == 1:
            _log.warning("a report of storage commitment waits for %s", error)
        at = self._clock.monotonic() + wait(attempt, peer.retry_first, name)
        with self._changed:
            self._owed[name] = replace(owed, attempt=attempt, at=at)

    def _settle(
        self, request: CommitmentRequested, kept: int, failed: tuple[Failure, ...], why_not: str
    ) -> None:
        if why_not:
            _log.error(
                "%s asked for storage commitment and cannot be told the outcome: %s",
                request.calling_ae,
                why_not,
            )
        self._ledger.record(
            CommitmentAnswered(
                request.transaction, request.name, request.calling_ae, kept, failed, why_not
            )
        )
        with self._changed:
            self._owed.pop(request.name, None)
            self._told.add(request.name)
