"""Which DIMSE status a peer gets, and where the standard says so."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lightbox.domain.errors import RefusalReason

SUCCESS = 0x0000
"""PS3.7 C.1.1."""

UNRECOGNISED_OPERATION = 0x0211
"""PS3.7 C.5.23: the command field is none that we answer."""

REFUSALS: Mapping[RefusalReason, int] = MappingProxyType(
    {
        # PS3.4 table B.2-1: Refused, out of resources (A7xx); senders try again later
        RefusalReason.OUT_OF_RESOURCES: 0xA700,
        RefusalReason.SHUTTING_DOWN: 0xA700,
        # the same table; 01 tells the log that trying again does not help
        RefusalReason.TOO_LARGE: 0xA701,
        # PS3.4 table B.2-1: Error, data set does not match SOP class (A9xx)
        RefusalReason.DATA_SET_DISAGREES: 0xA900,
        # PS3.4 table B.2-1: Error, cannot understand (Cxxx)
        RefusalReason.CANNOT_UNDERSTAND: 0xC000,
        # PS3.7 C.5.6 (0122H): Refused, SOP class not supported
        RefusalReason.SOP_CLASS_NOT_SUPPORTED: 0x0122,
    }
)

NO_SUCH_INSTANCE = 0x0112
"""PS3.7 C.5.12: the command names another SOP instance than the well-known one."""

NO_SUCH_EVENT = 0x0113
"""PS3.7 C.5.11: the event type is none that we know."""

INVALID_ARGUMENT = 0x0115
"""PS3.7 C.5.7: the data set is not what the action or the event needs."""

NO_SUCH_ACTION = 0x0123
"""PS3.7 C.5.10: the action type is none that we do."""

NORMALISED: Mapping[RefusalReason, int] = MappingProxyType(
    {
        # PS3.7 C.5: statuses of the DIMSE-N services; those of storage mean nothing there
        RefusalReason.OUT_OF_RESOURCES: 0x0213,  # Resource limitation
        RefusalReason.SHUTTING_DOWN: 0x0213,
        RefusalReason.TOO_LARGE: 0x0213,
        RefusalReason.DATA_SET_DISAGREES: INVALID_ARGUMENT,
        RefusalReason.CANNOT_UNDERSTAND: INVALID_ARGUMENT,
        RefusalReason.SOP_CLASS_NOT_SUPPORTED: 0x0122,  # Refused, SOP class not supported
    }
)
"""What a peer gets for an N-ACTION or N-EVENT-REPORT that is not done."""


def text(status: int) -> str:
    """Return a status as people write it, such as 0xA700."""
    return f"0x{status:04X}"
