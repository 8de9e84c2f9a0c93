"""Storage commitment on the wire (PS3.4 J.3), in both roles: data sets and associations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from pydicom import Dataset

from lightbox.deliver.association import VERIFICATION, Association, Peer
from lightbox.deliver.status import (
    NETWORK,
    Action,
    DestinationError,
    Network,
    of_status,
)
from lightbox.domain.commitment import (
    PROCESSING_FAILURE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReported,
    Failure,
    Reference,
)
from lightbox.domain.errors import LedgerError

_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_CONTEXTS = (VERIFICATION, *((PUSH_MODEL, syntax) for syntax in _SYNTAXES))

_PATIENCE = 1.0
"""Seconds that :meth:`CommitmentAsker.close` waits for a question in hand."""

_ALL_KEPT = 1
_SOME_FAILED = 2
_MEND = "let the PACS offer storage commitment to our AE title, or set `commitment = false`"


class CommitmentAsker:
    """Asks one destination by N-ACTION, over an association that is kept for its report.

    A peer may report on this association or on a new one to our listener (PS3.4 J.3.3).

    Parameters
    ----------
    peer : Peer
        Whom to ask.
    reported : callable
        Given what the peer reports on the kept association; must make it durable, or raise.
    """

    def __init__(self, peer: Peer, reported: Callable[[CommitmentReported], object]) -> None:
        self._peer = peer
        self._reported = reported
        self._lock = threading.Lock()
        self._kept: Association | None = None

    def ask(self, transaction: str, references: Iterable[Reference]) -> None:
        """Ask to keep these objects.

        Raises
        ------
        DestinationError
            If it does not; ``action`` says what follows.
        """
        asked = Dataset()
        asked.TransactionUID = transaction
        asked.ReferencedSOPSequence = [_item(each) for each in references]
        with self._lock:
            response = self._association().action(asked, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        answer = of_status(response.status)
        if answer.action in (Action.SUCCESS, Action.NOTE):
            return
        said = f"answered the request for storage commitment with 0x{response.status:04X}"
        said += f" {answer.meaning}" + (f', "{response.comment}"' if response.comment else "")
        raise DestinationError(answer.action, self._peer.address, said, answer.mend)

    def close(self) -> None:
        """Release the association; a question in hand gets a moment, then it is cut."""
        if not self._lock.acquire(timeout=_PATIENCE):
            kept = self._kept
            if kept is not None:
                kept.cut()
            self._lock.acquire()
        try:
            self._drop()
        finally:
            self._lock.release()

    def _association(self) -> Association:
        if self._kept is None or not self._kept.is_open:
            self._drop()
            self._kept = Association(self._peer, _CONTEXTS, reported=self._on_report)
        if not any(sop_class == PUSH_MODEL for sop_class, _ in self._kept.accepted):
            reason = "does not offer storage commitment"
            raise DestinationError(Action.DEAD_LETTER, self._peer.address, reason, _MEND)
        return self._kept

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _on_report(self, data_set: Dataset) -> int:
        try:
            self._reported(report_of(data_set, self._peer.ae_title))
        except (LedgerError, AttributeError, ValueError, TypeError):
            return PROCESSING_FAILURE
        return 0x0000


def report_of(data_set: Dataset, calling_ae: str) -> CommitmentReported:
    """Read the data set of an N-EVENT-REPORT-RQ (PS3.4 table J.3-2).

    Raises
    ------
    AttributeError, ValueError, TypeError
        If it lacks what it must have.
    """
    kept = data_set.get("ReferencedSOPSequence") or ()
    failed = data_set.get("FailedSOPSequence") or ()
    return CommitmentReported(
        str(data_set.TransactionUID),
        calling_ae,
        tuple(str(each.ReferencedSOPInstanceUID) for each in kept),
        tuple(
            Failure(
                str(each.ReferencedSOPClassUID),
                str(each.ReferencedSOPInstanceUID),
                int(each.get("FailureReason") or PROCESSING_FAILURE),
            )
            for each in failed
        ),
    )


def send_report(
    peer: Peer, transaction: str, kept: Iterable[Reference], failed: Iterable[Failure]
) -> None:
    """Report to a peer that asked us, on a new association with its roles reversed (PS3.4 J.3.3).

    Raises
    ------
    DestinationError
        If the peer did not take the report.
    """
    report = Dataset()
    report.TransactionUID = transaction
    good, bad = [_item(each) for each in kept], [_failed_item(each) for each in failed]
    if good:
        report.ReferencedSOPSequence = good
    if bad:
        report.FailedSOPSequence = bad
    contexts = [(PUSH_MODEL, syntax) for syntax in _SYNTAXES]
    association = Association(peer, contexts, as_scp_of=PUSH_MODEL)
    try:
        kind = _SOME_FAILED if bad else _ALL_KEPT
        response = association.event_report(report, kind, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    finally:
        association.close()
    if response.status:
        said = f"answered the report of storage commitment with 0x{response.status:04X}"
        raise DestinationError(Action.RETRY, peer.address, said, NETWORK[Network.LOST].mend)


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def _failed_item(failure: Failure) -> Dataset:
    item = _item(Reference(failure.sop_class_uid, failure.sop_instance_uid))
    item.FailureReason = failure.reason
    return item
