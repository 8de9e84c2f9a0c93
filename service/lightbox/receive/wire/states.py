"""What an event means in which state: PS3.8 table 9-10, for an acceptor, as a table.

Our local decisions are taken at once, so the states in which the standard waits for them (Sta3,
Sta8) do not last, and we never ask for a release, so Sta7 and Sta9 to Sta12 do not occur: when
the service stops, associations between two messages get an A-ABORT.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias


class State(Enum):
    """PS3.8 9.2.1 to 9.2.3."""

    AWAITING_REQUEST = "Sta2"
    ESTABLISHED = "Sta6"
    AWAITING_CLOSE = "Sta13"


class Event(Enum):
    """PS3.8 table 9-10, rows; the values of PDUs are their types (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7
    UNRECOGNISED = "unrecognised or invalid PDU"
    CLOSED = "transport connection closed"
    TIMEOUT = "timer expired"
    DRAIN = "local abort: the service stops"


class Action(Enum):
    """PS3.8 tables 9-6 to 9-9."""

    NEGOTIATE = "AE-6: decide on the request"
    DATA = "DT-2: take the fragments"
    RELEASE = "AR-2, AR-4: answer A-RELEASE-RP"
    ABORT = "AA-1, AA-8: send A-ABORT"
    IGNORE = "AA-6, AA-7: the association is over, read on until the peer closes"
    CLOSE = "AA-2, AA-3, AA-4, AA-5, AR-5: close"


_FOREIGN_PDUS = (
    Event.ASSOCIATE_RQ,
    Event.ASSOCIATE_AC,
    Event.ASSOCIATE_RJ,
    Event.P_DATA,
    Event.RELEASE_RQ,
    Event.RELEASE_RP,
    Event.UNRECOGNISED,
)
_ENDS = (Event.ABORT, Event.CLOSED)
_OURS = (Event.TIMEOUT, Event.DRAIN)

Transition: TypeAlias = tuple[Action, State]

TABLE: Mapping[tuple[State, Event], Transition] = MappingProxyType(
    {
        # Sta2: only a request is right; without one the ARTIM timer closes
        **{
            (State.AWAITING_REQUEST, e): (Action.ABORT, State.AWAITING_CLOSE) for e in _FOREIGN_PDUS
        },
        (State.AWAITING_REQUEST, Event.ASSOCIATE_RQ): (Action.NEGOTIATE, State.ESTABLISHED),
        **{
            (State.AWAITING_REQUEST, e): (Action.CLOSE, State.AWAITING_CLOSE)
            for e in (*_ENDS, *_OURS)
        },
        # Sta6
        **{
            (State.ESTABLISHED, e): (Action.ABORT, State.AWAITING_CLOSE)
            for e in (*_FOREIGN_PDUS, *_OURS)
        },
        (State.ESTABLISHED, Event.P_DATA): (Action.DATA, State.ESTABLISHED),
        (State.ESTABLISHED, Event.RELEASE_RQ): (Action.RELEASE, State.AWAITING_CLOSE),
        **{(State.ESTABLISHED, e): (Action.CLOSE, State.AWAITING_CLOSE) for e in _ENDS},
        # Sta13
        **{(State.AWAITING_CLOSE, e): (Action.IGNORE, State.AWAITING_CLOSE) for e in _FOREIGN_PDUS},
        **{
            (State.AWAITING_CLOSE, e): (Action.CLOSE, State.AWAITING_CLOSE)
            for e in (*_ENDS, *_OURS)
        },
    }
)

_BY_TYPE = {event.value: event for event in Event if isinstance(event.value, int)}


def event_of(pdu_type: int) -> Event:
    """Return the event that a PDU of this type is."""
    return _BY_TYPE.get(pdu_type, Event.UNRECOGNISED)
