"""Storage commitment as it arrives (PS3.4 annex J): durable in the ledger, then answered.

An N-ACTION asks us to keep objects; an N-EVENT-REPORT tells whether a peer keeps ours. Both are
recorded here and acted on elsewhere. Their data sets are walked, never decoded: a peer can make us
hold a megabyte, and no more.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydicom import Dataset
from pynetdicom.dsutils import encode

from lightbox.domain.commitment import (
    PROCESSING_FAILURE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentAnswered,
    CommitmentReported,
    CommitmentRequested,
    Failure,
    Reference,
)
from lightbox.domain.errors import LightboxError, RefusalReason, RefusedError
from lightbox.domain.identity import is_uid
from lightbox.ports import Ledger
from lightbox.receive import status
from lightbox.receive.elements import (
    IMPLICIT_LITTLE,
    UNDEFINED,
    BrokenError,
    CutOffError,
    Element,
    Elements,
)

LONGEST = 2**20
"""Bytes of a data set: some eight thousand references."""

_TRANSACTION = 0x00081195
_FAILED = 0x00081198
_REFERENCED = 0x00081199
_SOP_CLASS = 0x00081150
_SOP_INSTANCE = 0x00081155
_REASON = 0x00081197
_SEQUENCE_END = 0xFFFEE0DD
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_US = struct.Struct("<H")


class NotDoneError(RefusedError):
    """A request of a DIMSE-N service that is not done; the peer gets ``status``."""

    def __init__(self, status_code: int, thing: str, reason: str) -> None:
        super().__init__(RefusalReason.CANNOT_UNDERSTAND, thing, reason)
        self.status = status_code


@dataclass(frozen=True, slots=True)
class Heading:
    """What is known of a request before its data set.

    Attributes
    ----------
    is_report : bool
        An N-EVENT-REPORT; else an N-ACTION.
    kind : int
        Action Type ID (0000,1008) or Event Type ID (0000,1002).
    """

    is_report: bool
    kind: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    peer: str


class Letter:
    """A request about storage commitment on its way to the ledger. Use from one thread.

    Parameters
    ----------
    heading : Heading
        What its command says.
    ledger : Ledger
        Where it is recorded.

    Raises
    ------
    RefusedError
        If nobody here does what it asks for.
    """

    def __init__(self, heading: Heading, ledger: Ledger) -> None:
        self._heading = heading
        self._ledger = ledger
        self._data = bytearray()
        if heading.sop_class_uid != PUSH_MODEL:
            raise RefusedError(
                RefusalReason.SOP_CLASS_NOT_SUPPORTED, "command", "is not about storage commitment"
            )
        if heading.sop_instance_uid != PUSH_MODEL_INSTANCE:
            reason = "names another instance than the well-known one"
            raise NotDoneError(status.NO_SUCH_INSTANCE, "command", reason)
        if heading.is_report and heading.kind not in (1, 2):
            raise NotDoneError(status.NO_SUCH_EVENT, "command", f"event type {heading.kind}")
        if not heading.is_report and heading.kind != 1:
            raise NotDoneError(status.NO_SUCH_ACTION, "command", f"action type {heading.kind}")

    @property
    def held(self) -> int:
        """Bytes that are kept in memory."""
        return len(self._data)

    def add(self, piece: memoryview) -> None:
        """Take the next bytes of the data set.

        Raises
        ------
        RefusedError
            If it is too long.
        """
        if len(self._data) + len(piece) > LONGEST:
            raise RefusedError(RefusalReason.TOO_LARGE, "data set", f"over {LONGEST} bytes")
        self._data += piece

    def close(self) -> None:
        """Forget it."""
        self._data.clear()

    def finish(self) -> CommitmentRequested | CommitmentReported:
        """Record it durably; it may be answered with success when this returns.

        Raises
        ------
        RefusedError
            If it cannot be understood or is not durable.
        """
        heading = self._heading
        try:
            content = _read(bytes(self._data), heading.transfer_syntax_uid)
        except (CutOffError, BrokenError) as error:
            reason = str(error) or "is cut off"
            raise NotDoneError(status.INVALID_ARGUMENT, "data set", reason) from error
        event: CommitmentRequested | CommitmentReported
        if heading.is_report:
            kept = tuple(each.sop_instance_uid for each in content.referenced)
            event = CommitmentReported(
                content.transaction, heading.calling_ae, kept, content.failed
            )
        else:
            event = CommitmentRequested(
                content.transaction, heading.calling_ae, heading.peer, content.referenced
            )
        if not (content.referenced or (heading.is_report and content.failed)):
            raise NotDoneError(status.INVALID_ARGUMENT, "data set", "refers to no object")
        try:
            self._ledger.record(event)
        except LightboxError as error:
            raise RefusedError(
                RefusalReason.OUT_OF_RESOURCES, "ledger", str(error), "see the log"
            ) from error
        return event


Judgement: TypeAlias = tuple[Sequence[Reference], Sequence[Failure]]
"""What we keep, and what not."""

JudgeHere: TypeAlias = Callable[[CommitmentRequested], Judgement | None]
"""What to report on the association of the request; None: the report goes to a known address."""


def elsewhere(_: CommitmentRequested) -> Judgement | None:
    """Report nothing on the same association."""
    return None


@dataclass(frozen=True, slots=True)
class Report:
    """An N-EVENT-REPORT for a peer whose address nobody knows (PS3.4 J.3.3).

    Attributes
    ----------
    kind : int
        Event type: 1 all kept, 2 some not.
    answered : CommitmentAnswered
        To be recorded when the peer has taken it.
    """

    kind: int
    data_set: bytes
    answered: CommitmentAnswered


def report_of(request: CommitmentRequested, judgement: Judgement, syntax: str) -> Report:
    """Encode what was judged (PS3.4 table J.3-2)."""
    kept, failed = judgement
    said = Dataset()
    said.TransactionUID = request.transaction
    if kept:
        said.ReferencedSOPSequence = [_reference(each) for each in kept]
    if failed:
        said.FailedSOPSequence = [_reference(each) for each in failed]
    data = encode(said, is_implicit_vr=syntax == IMPLICIT_LITTLE, is_little_endian=True)
    assert data is not None
    answered = CommitmentAnswered(
        request.transaction, request.name, request.calling_ae, len(kept), tuple(failed)
    )
    return Report(2 if failed else 1, data, answered)


def _reference(each: Reference | Failure) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = each.sop_class_uid
    item.ReferencedSOPInstanceUID = each.sop_instance_uid
    if isinstance(each, Failure):
        item.FailureReason = each.reason
    return item


@dataclass(frozen=True, slots=True)
class _Content:
    transaction: str
    referenced: tuple[Reference, ...]
    failed: tuple[Failure, ...]


def _read(data: bytes, syntax: str) -> _Content:
    """Read the transaction and its references (PS3.4 tables J.3-1 and J.3-2)."""
    transaction = ""
    referenced: tuple[Reference, ...] = ()
    failed: tuple[Failure, ...] = ()
    walk = Elements(data, syntax)
    for element in walk.until(_REFERENCED):
        if element.tag == _TRANSACTION:
            transaction = _uid(walk.value(element))
        elif element.tag == _REFERENCED:
            referenced = tuple(ref for ref, _ in _items(data, syntax, element))
        elif element.tag == _FAILED:
            failed = tuple(
                Failure(ref.sop_class_uid, ref.sop_instance_uid, reason)
                for ref, reason in _items(data, syntax, element)
            )
    if not transaction:
        raise BrokenError("has no Transaction UID")
    return _Content(transaction, referenced, failed)


def _items(data: bytes, syntax: str, sequence: Element) -> Iterator[tuple[Reference, int]]:
    """Yield reference and Failure Reason of each item."""
    inside, start = _inside(data, sequence)
    for item in Elements(inside, syntax, start).until(_SEQUENCE_END):
        if item.tag != _ITEM:
            break
        yield _item(inside, syntax, item)


def _item(data: bytes, syntax: str, item: Element) -> tuple[Reference, int]:
    inside, start = _inside(data, item)
    values: dict[int, bytes] = {}
    walk = Elements(inside, syntax, start)
    for element in walk.until(_ITEM_END):
        if element.tag in (_SOP_CLASS, _SOP_INSTANCE, _REASON):
            values[element.tag] = walk.value(element)
    reason = values.get(_REASON, b"")
    number = int(_US.unpack(reason)[0]) if len(reason) == _US.size else PROCESSING_FAILURE
    reference = Reference(_uid(values.get(_SOP_CLASS, b"")), _uid(values.get(_SOP_INSTANCE, b"")))
    return reference, number


def _inside(data: bytes, element: Element) -> tuple[bytes, int]:
    """Return bytes and offset of what a sequence or an item holds."""
    if element.length == UNDEFINED:
        return data, element.value_start
    end = element.value_start + element.length
    if end > len(data):
        raise CutOffError
    return data[element.value_start : end], 0


def _uid(value: bytes) -> str:
    text = value.rstrip(b"\0 ").decode("ascii", "replace")
    if not is_uid(text):
        raise BrokenError("has a UID that is none")
    return text
