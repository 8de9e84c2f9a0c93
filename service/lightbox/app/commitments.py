"""Storage commitment, both ways, put together: who is asked, who is answered, and out of what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from lightbox.deliver.association import peer_of
from lightbox.deliver.commitment.ask import Commitment
from lightbox.deliver.commitment.report import Reporter
from lightbox.deliver.commitment.wire import CommitmentAsker, send_report
from lightbox.deliver.send import Send
from lightbox.domain.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    CommitmentReported,
    CommitmentRequested,
    Failure,
    Reference,
)
from lightbox.domain.events import Recorded
from lightbox.domain.study import Instance
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ports import Clock
from lightbox.receive.commitment import JudgeHere, Judgement
from lightbox.receive.stored_file import holds
from lightbox.settings import DestinationSettings, Settings

_PATIENCE = 60.0
"""Seconds that a question on the wire may take before its asker is left behind."""


class Commitments:
    """Everything about storage commitment that the ``control`` process does.

    Parameters
    ----------
    settings : Settings
        Destinations; those with ``commitment = true`` are asked, all are answered.
    root : Path
        The data directory.
    ledger : SqliteLedger
        Ours to write, all to read.
    sends : mapping of str to Send
        The outbox of each destination.
    clock : Clock
        Time.
    woke : callable
        Called when a row was recorded by a thread that nobody waits for.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        ledger: SqliteLedger,
        sends: Mapping[str, Send],
        clock: Clock,
        woke: Callable[[], object],
    ) -> None:
        self._clock = clock
        ours = settings.dicom.ae_title
        self._ask = partial(_asking, calling_ae=ours, ledger=ledger, clock=clock, woke=woke)
        self._asking = {
            each: self._ask(each, send=sends[each.name])
            for each in settings.destinations
            if asks(each)
        }
        self._reporter = Reporter(
            _peers(settings),
            judge=partial(judge, root, ledger.instances_of),
            send=partial(_report, ours),
            ledger=ledger,
            clock=clock,
        )

    def configure(
        self,
        settings: Settings,
        sends: Mapping[str, Send],
        history: Callable[[], Sequence[Recorded]],
    ) -> None:
        """Ask and answer other destinations from now on.

        Parameters
        ----------
        sends : mapping of str to Send
            The outboxes, those of changed destinations already in place.
        history : callable
            Returns the rows that matter, as at a start; called where a destination is new.
        """
        before, wanted = self._asking, [each for each in settings.destinations if asks(each)]
        fresh = {
            each: self._ask(each, send=sends[each.name]) for each in wanted if each not in before
        }
        rows = history() if fresh else ()
        for asking in fresh.values():
            asking.resume(rows)
        self._asking = {each: fresh.get(each) or before[each] for each in wanted}
        self._reporter.configure(_peers(settings))
        for given, asking in before.items():
            if given not in self._asking:
                # It may be on the wire; nobody waits for that here.
                threading.Thread(target=asking.close, args=(_PATIENCE,), daemon=True).start()
        for asking in fresh.values():
            asking.start()

    def resume(self, history: Sequence[Recorded]) -> None:
        """Take in what was recorded before this start."""
        for each in self._asking.values():
            each.resume(history)
        for row in history:
            self._reporter.follow(row)

    def follow(self, row: Recorded) -> None:
        """Take in one more row."""
        for each in self._asking.values():
            each.follow(row)
        self._reporter.follow(row)

    def start(self) -> None:
        """Start asking and answering."""
        for each in self._asking.values():
            each.start()
        self._reporter.start()

    def close(self, seconds: float) -> None:
        """Stop within so many seconds; what is open stays in the ledger."""
        until = self._clock.monotonic() + seconds
        for close in (*(each.close for each in self._asking.values()), self._reporter.close):
            close(max(until - self._clock.monotonic(), 0.0))


def _peers(settings: Settings) -> dict[str, DestinationSettings]:
    return {each.ae_title: each for each in settings.destinations if not each.stow}


def asks(given: DestinationSettings) -> bool:
    """Say whether a destination is asked to commit; over STOW-RS there is no such question."""
    return given.commitment and not given.stow


def judge(root: Path, found: Callable[[str], Sequence[Instance]], reference: Reference) -> int:
    """Return 0 where we hold an object, by the hash of its file, else its Failure Reason."""
    try:
        held = [each for each in found(reference.sop_instance_uid) if holds(root / each.path, each)]
    except OSError:
        return PROCESSING_FAILURE
    if not held:
        return NO_SUCH_INSTANCE
    known = {each.sop_class_uid for each in held}
    return 0 if reference.sop_class_uid in known else CLASS_CONFLICT


def judge_here(settings: Settings, root: Path, ledger: SqliteLedger) -> JudgeHere:
    """Return what the listener reports itself: to peers that no destination has an address of."""
    known = {each.ae_title for each in settings.destinations if not each.stow}

    def judged(request: CommitmentRequested) -> Judgement | None:
        if request.calling_ae in known:
            return None
        reasons = [(each, judge(root, ledger.instances_of, each)) for each in request.references]
        failed = [
            Failure(each.sop_class_uid, each.sop_instance_uid, reason)
            for each, reason in reasons
            if reason
        ]
        return [each for each, reason in reasons if not reason], failed

    return judged


def _asking(
    given: DestinationSettings,
    *,
    calling_ae: str,
    ledger: SqliteLedger,
    send: Send,
    clock: Clock,
    woke: Callable[[], object],
) -> Commitment:
    def reported(report: CommitmentReported) -> None:
        ledger.record(report)
        woke()

    asker = CommitmentAsker(peer_of(given, calling_ae), reported)
    return Commitment(
        given,
        ask=asker.ask,
        hang_up=asker.close,
        ledger=ledger,
        resend=send.resume,
        clock=clock,
    )


def _report(
    calling_ae: str,
    to: DestinationSettings,
    transaction: str,
    kept: Sequence[Reference],
    failed: Sequence[Failure],
) -> None:
    send_report(peer_of(to, calling_ae), transaction, kept, failed)
