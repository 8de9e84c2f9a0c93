"""Command sets: Implicit VR Little Endian, group 0000 (PS3.7 6.3.1, annex E)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lightbox.receive.wire.pdu import AbortReason, ProtocolError

C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
N_EVENT_REPORT_RQ = 0x0100
N_ACTION_RQ = 0x0130
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000
"""Bit that makes a response's command field out of a request's."""

_NO_DATA_SET = 0x0101
_ELEMENT = struct.Struct("<HHL")
_NUMBERS = struct.Struct("<" + 4 * "HHLH")  # four elements of VR US, one after the other
_US = struct.Struct("<H")
_COMMENT_CHARACTERS = 64  # VR LO

_AFFECTED_SOP_CLASS = 0x0002
_REQUESTED_SOP_CLASS = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_RESPONDED_TO = 0x0120
_PRIORITY = 0x0700
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE = 0x1000
_REQUESTED_SOP_INSTANCE = 0x1001
_TYPES = {N_EVENT_REPORT_RQ: 0x1002, N_ACTION_RQ: 0x1008}


@dataclass(frozen=True, slots=True)
class Command:
    """A request, as far as we look at it.

    Attributes
    ----------
    context_id : int
        Presentation context that it came on.
    priority : int
        0 MEDIUM, 1 HIGH, 2 LOW (PS3.7 9.3.1.1).
    type_id : int
        Action or event type of a DIMSE-N request (PS3.7 10.3.1.1, 10.3.4.1).
    responded_to, status : int
        Of a response: the message that it answers, and how.
    """

    context_id: int
    field: int
    message_id: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    priority: int = 0
    has_data_set: bool = False
    type_id: int = 0
    responded_to: int = 0
    status: int = 0


def _invalid(text: str) -> ProtocolError:
    return ProtocolError(AbortReason.INVALID_PARAMETER, f"command set: {text}")


def _elements(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < _ELEMENT.size:
            raise _invalid("ends inside of an element")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if group or length > end - at:
            raise _invalid("an element leads out of it")
        found[element] = data[at : at + length]
        at += length
    return found


def _number(elements: dict[int, bytes], element: int, default: int | None = None) -> int:
    value = elements.get(element, b"")
    if len(value) != _US.size:
        if default is None:
            raise _invalid(f"(0000,{element:04X}) is missing or no number")
        return default
    return int(_US.unpack(value)[0])


def _uid(elements: dict[int, bytes], element: int) -> str:
    return elements.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")


def parse(data: bytes, context_id: int) -> Command:
    """Read a command set.

    Raises
    ------
    ProtocolError
        If it cannot be read or lacks what every message has.
    """
    elements = _elements(data)
    field = _number(elements, _COMMAND_FIELD)
    is_request = not field & RESPONSE and field != C_CANCEL_RQ
    return Command(
        context_id=context_id,
        field=field,
        message_id=_number(elements, _MESSAGE_ID, None if is_request else 0),
        sop_class_uid=_uid(elements, _AFFECTED_SOP_CLASS) or _uid(elements, _REQUESTED_SOP_CLASS),
        sop_instance_uid=(
            _uid(elements, _AFFECTED_SOP_INSTANCE) or _uid(elements, _REQUESTED_SOP_INSTANCE)
        ),
        priority=_number(elements, _PRIORITY, 0),
        has_data_set=_number(elements, _DATA_SET_TYPE) != _NO_DATA_SET,
        type_id=_number(elements, _TYPES[field], 0) if field in _TYPES else 0,
        responded_to=0 if is_request else _number(elements, _RESPONDED_TO, 0),
        status=0 if is_request else _number(elements, _STATUS, 0),
    )


def _element(element: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if element == _ERROR_COMMENT else b"\0"
    return _ELEMENT.pack(0, element, len(value)) + value


def response(command: Command, status: int, comment: str = "") -> bytes:
    """Return the command set that answers ``command`` (PS3.7 tables 9.3-2, 9.3-13, 10.3-2, 10.3-8).

    Parameters
    ----------
    comment : str
        For people, cut to the 64 characters of an Error Comment (PS3.7 C.4.2).
    """
    body = b""
    if command.sop_class_uid:
        body += _element(_AFFECTED_SOP_CLASS, command.sop_class_uid.encode("ascii", "replace"))
    body += _NUMBERS.pack(
        0, _COMMAND_FIELD, 2, command.field | RESPONSE,
        0, _RESPONDED_TO, 2, command.message_id,
        0, _DATA_SET_TYPE, 2, _NO_DATA_SET,
        0, _STATUS, 2, status,
    )  # fmt: skip
    if comment:
        said = comment.replace("\\", "/")[:_COMMENT_CHARACTERS]
        body += _element(_ERROR_COMMENT, said.encode("ascii", "replace"))
    if command.sop_instance_uid:
        body += _element(
            _AFFECTED_SOP_INSTANCE, command.sop_instance_uid.encode("ascii", "replace")
        )
    if command.field in _TYPES:
        body += _element(_TYPES[command.field], _US.pack(command.type_id))
    return _element(0, struct.pack("<L", len(body))) + body


def event_report(sop_class_uid: str, sop_instance_uid: str, kind: int, message_id: int) -> bytes:
    """Return the command set of an N-EVENT-REPORT-RQ with a data set (PS3.7 table 10.3-1)."""
    body = (
        _element(_AFFECTED_SOP_CLASS, sop_class_uid.encode("ascii"))
        + _element(_COMMAND_FIELD, _US.pack(N_EVENT_REPORT_RQ))
        + _element(_MESSAGE_ID, _US.pack(message_id))
        + _element(_DATA_SET_TYPE, _US.pack(1))
        + _element(_AFFECTED_SOP_INSTANCE, sop_instance_uid.encode("ascii"))
        + _element(_TYPES[N_EVENT_REPORT_RQ], _US.pack(kind))
    )
    return _element(0, struct.pack("<L", len(body))) + body
