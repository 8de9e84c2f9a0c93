"""What a destination can answer, and what follows: one table for DIMSE, one each for the rest.

PS3.7 Annex C gives the general statuses, PS3.4 B.2.3 those of the storage service class,
PS3.8 9.3.4 the reasons of a rejected association, PS3.18 10.5.3 the HTTP codes of STOW-RS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lightbox.domain.errors import DeliveryError


class Action(StrEnum):
    """What follows from an answer."""

    SUCCESS = "success"
    NOTE = "success with note"
    RETRY = "retry"
    """This result again later; the others go on."""
    UNREACHABLE = "unreachable"
    """Nothing can be delivered there now: all results wait until it answers again."""
    NOT_TAKEN = "other syntax or class"
    """It does not take this kind of object as we offer it."""
    DEAD_LETTER = "dead letter"
    """Trying again cannot help; a person must look."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: the meaning of an answer, and its mend in the words of a PACS administrator."""

    action: Action
    meaning: str
    mend: str = ""


class DestinationError(DeliveryError):
    """A destination did not take a result; ``action`` says what follows."""

    def __init__(self, action: Action, thing: str, reason: str, mend: str = "") -> None:
        super().__init__(thing, reason, mend)
        self.action = action


_CLASS = (
    "if it should take this class, switch it on in the PACS; else leave the kind out of `kinds`"
)
_OBJECT = "send this file to support with the PACS's log of this minute"
_FULL = "free disk space at the PACS"
_PACS_LOG = "see the PACS's log of this minute"

DIMSE: tuple[tuple[int, int, Answer], ...] = (
    # PS3.7 Annex C: general
    (0x0000, 0x0000, Answer(Action.SUCCESS, "Success")),
    (0x0001, 0x0001, Answer(Action.NOTE, "Requested optional attributes are not supported")),
    (0x0105, 0x0105, Answer(Action.DEAD_LETTER, "No such attribute", _OBJECT)),
    (0x0106, 0x0106, Answer(Action.DEAD_LETTER, "Invalid attribute value", _OBJECT)),
    (0x0107, 0x0107, Answer(Action.NOTE, "Attribute list error")),
    (0x0110, 0x0110, Answer(Action.RETRY, "Processing failure", _PACS_LOG)),
    (0x0111, 0x0111, Answer(Action.NOTE, "Duplicate SOP Instance: it is there already")),
    (0x0112, 0x0112, Answer(Action.DEAD_LETTER, "No such SOP Instance", _OBJECT)),
    (0x0113, 0x0113, Answer(Action.DEAD_LETTER, "No such event type", _PACS_LOG)),
    (0x0114, 0x0114, Answer(Action.DEAD_LETTER, "No such argument", _PACS_LOG)),
    (0x0115, 0x0115, Answer(Action.DEAD_LETTER, "Invalid argument value", _OBJECT)),
    (0x0116, 0x0116, Answer(Action.NOTE, "Attribute value out of range")),
    (0x0117, 0x0117, Answer(Action.DEAD_LETTER, "Invalid SOP Instance", _OBJECT)),
    (0x0118, 0x0118, Answer(Action.NOT_TAKEN, "No such SOP Class", _CLASS)),
    (0x0119, 0x0119, Answer(Action.DEAD_LETTER, "Class-instance conflict", _OBJECT)),
    (0x0120, 0x0120, Answer(Action.DEAD_LETTER, "Missing attribute", _OBJECT)),
    (0x0121, 0x0121, Answer(Action.DEAD_LETTER, "Missing attribute value", _OBJECT)),
    (0x0122, 0x0122, Answer(Action.NOT_TAKEN, "Refused: SOP Class not supported", _CLASS)),
    (0x0123, 0x0123, Answer(Action.DEAD_LETTER, "No such action", _PACS_LOG)),
    (
        0x0124,
        0x0124,
        Answer(Action.RETRY, "Refused: not authorised", "permit our AE title to store at the PACS"),
    ),
    (0x0210, 0x0210, Answer(Action.RETRY, "Duplicate invocation")),
    (0x0211, 0x0211, Answer(Action.DEAD_LETTER, "Unrecognised operation", _PACS_LOG)),
    (0x0212, 0x0212, Answer(Action.DEAD_LETTER, "Mistyped argument", _PACS_LOG)),
    (0x0213, 0x0213, Answer(Action.RETRY, "Resource limitation", _FULL)),
    # PS3.4 B.2.3: storage service class
    (0xA700, 0xA7FF, Answer(Action.RETRY, "Refused: out of resources", _FULL)),
    (0xA900, 0xA9FF, Answer(Action.DEAD_LETTER, "Data set does not match SOP Class", _OBJECT)),
    (0xB000, 0xB000, Answer(Action.NOTE, "Coercion of data elements")),
    (0xB006, 0xB006, Answer(Action.NOTE, "Elements discarded")),
    (0xB007, 0xB007, Answer(Action.NOTE, "Data set does not match SOP Class")),
    (0xB001, 0xBFFF, Answer(Action.NOTE, "Stored with a warning")),
    (0xC000, 0xCFFF, Answer(Action.DEAD_LETTER, "Cannot understand", _OBJECT)),
    (0xFE00, 0xFE00, Answer(Action.RETRY, "Cancelled by the PACS", _PACS_LOG)),
)
"""(first, last, answer); the first row that holds a status decides."""

_UNKNOWN_STATUS = Answer(Action.RETRY, "a status that the standard does not know", _PACS_LOG)


def of_status(status: int) -> Answer:
    """Return the row of a DIMSE status of C-STORE-RSP."""
    for first, last, answer in DIMSE:
        if first <= status <= last:
            return answer
    return _UNKNOWN_STATUS


_TITLES = "compare the AE titles in [[destinations]] and at the PACS, letter by letter"
_LATER = "the PACS is busy; nothing to do unless it stays so"

REJECTED: dict[tuple[int, int], Answer] = {
    # (source, reason), PS3.8 Table 9-21
    (1, 1): Answer(Action.UNREACHABLE, "association rejected, no reason given", _PACS_LOG),
    (1, 2): Answer(Action.UNREACHABLE, "application context not supported", _PACS_LOG),
    (1, 3): Answer(
        Action.UNREACHABLE,
        "calling AE title not known",
        "enter our AE title, address and port at the PACS",
    ),
    (1, 7): Answer(Action.UNREACHABLE, "wrong called AE title", _TITLES),
    (2, 1): Answer(Action.UNREACHABLE, "association rejected, no reason given", _PACS_LOG),
    (2, 2): Answer(Action.UNREACHABLE, "protocol version not supported", _PACS_LOG),
    (3, 1): Answer(Action.UNREACHABLE, "temporary congestion", _LATER),
    (3, 2): Answer(Action.UNREACHABLE, "local limit of associations exceeded", _LATER),
}

_UNKNOWN_REJECTION = Answer(Action.UNREACHABLE, "association rejected", _PACS_LOG)


def of_rejection(source: int, reason: int) -> Answer:
    """Return the row of an A-ASSOCIATE-RJ."""
    return REJECTED.get((source, reason), _UNKNOWN_REJECTION)


class Network(StrEnum):
    """What can happen below DICOM."""

    NAME_UNKNOWN = "name unknown"
    REFUSED = "refused"
    NO_ROUTE = "no route"
    CONNECT_TIMEOUT = "connect timeout"
    NO_ANSWER = "no answer"
    NOT_DICOM = "not dicom"
    LOST = "lost"
    ABORTED = "aborted"
    TLS_NOT_SPOKEN = "tls not spoken"
    TLS_WANTED = "tls wanted"
    TLS_AUTHORITY = "tls authority"
    TLS_TIME = "tls time"
    TLS_NAME = "tls name"
    TLS_OURS = "tls ours"
    TLS_NOTHING_IN_COMMON = "tls nothing in common"
    NO_CONTEXT = "no context"
    NO_CONTEXTS = "no contexts"


_PORT = "is the PACS running, and is this its DICOM port?"
_FIREWALL = "ask for the route and the firewall between us and the PACS"

NETWORK: dict[Network, Answer] = {
    Network.NAME_UNKNOWN: Answer(
        Action.UNREACHABLE, "host name unknown", "correct `host`, or enter the name in the DNS"
    ),
    Network.REFUSED: Answer(Action.UNREACHABLE, "connection refused", _PORT),
    Network.NO_ROUTE: Answer(Action.UNREACHABLE, "no route to this host", _FIREWALL),
    Network.CONNECT_TIMEOUT: Answer(Action.UNREACHABLE, "no answer to the connection", _FIREWALL),
    Network.NO_ANSWER: Answer(Action.UNREACHABLE, "connected, but no answer in time", _PACS_LOG),
    Network.NOT_DICOM: Answer(
        Action.UNREACHABLE, "closed the connection at the association request", _PORT
    ),
    Network.LOST: Answer(Action.UNREACHABLE, "connection lost before the answer", _PACS_LOG),
    Network.ABORTED: Answer(Action.UNREACHABLE, "association aborted by the PACS", _PACS_LOG),
    Network.TLS_NOT_SPOKEN: Answer(
        Action.UNREACHABLE,
        "no TLS on this port",
        "name the PACS's port for TLS, or remove `tls.ca` if it has none",
    ),
    Network.TLS_WANTED: Answer(
        Action.UNREACHABLE,
        "wants TLS on this port",
        "set `tls.ca` (and `tls.certificate`, `tls.key`) for this destination, or name its plain port",
    ),
    Network.TLS_AUTHORITY: Answer(
        Action.UNREACHABLE,
        "its certificate is not from an authority in `tls.ca`",
        "put the certificate of who signed it into `tls.ca`",
    ),
    Network.TLS_TIME: Answer(
        Action.UNREACHABLE,
        "its certificate has expired or is not valid yet",
        "have it renewed at the PACS; compare the clocks",
    ),
    Network.TLS_NAME: Answer(
        Action.UNREACHABLE,
        "its certificate is for another name",
        "set `tls.name` to the name in it, or `host` to that name",
    ),
    Network.TLS_OURS: Answer(
        Action.UNREACHABLE,
        "does not accept our certificate, or wants one",
        "set `tls.certificate` and `tls.key`; let the PACS trust who signed them",
    ),
    Network.TLS_NOTHING_IN_COMMON: Answer(
        Action.UNREACHABLE,
        "no TLS version or cipher in common",
        "let the PACS speak TLS 1.2 or newer with AES-GCM or ChaCha20 (BCP 195)",
    ),
    Network.NO_CONTEXT: Answer(Action.NOT_TAKEN, "presentation context refused", _CLASS),
    Network.NO_CONTEXTS: Answer(
        Action.UNREACHABLE, "accepted none of our presentation contexts", _CLASS
    ),
}

_ENTRY = "enter a valid token or certificate for this destination"
_ROOT = "correct `stow`: it is the DICOMweb root, without /studies"

HTTP: dict[int, Answer] = {
    # PS3.18 10.5.3.1 and RFC 9110
    200: Answer(Action.SUCCESS, "Stored"),
    202: Answer(Action.NOTE, "Stored with warnings"),
    204: Answer(Action.SUCCESS, "Stored"),
    400: Answer(Action.DEAD_LETTER, "Bad request", _OBJECT),
    401: Answer(Action.UNREACHABLE, "Not authenticated", _ENTRY),
    403: Answer(Action.UNREACHABLE, "Forbidden", _ENTRY),
    404: Answer(Action.UNREACHABLE, "Nothing at this address", _ROOT),
    405: Answer(Action.UNREACHABLE, "Storing is not offered at this address", _ROOT),
    408: Answer(Action.RETRY, "Request timeout", _PACS_LOG),
    409: Answer(Action.DEAD_LETTER, "Conflict: nothing was stored", _OBJECT),
    413: Answer(Action.DEAD_LETTER, "Too large", "raise the size limit of the PACS or its proxy"),
    415: Answer(Action.NOT_TAKEN, "Media type not supported", _CLASS),
    425: Answer(Action.RETRY, "Too early"),
    429: Answer(Action.UNREACHABLE, "Too many requests", _LATER),
    500: Answer(Action.RETRY, "Internal error of the PACS", _PACS_LOG),
    501: Answer(Action.UNREACHABLE, "Storing is not offered at this address", _ROOT),
    502: Answer(Action.UNREACHABLE, "The proxy has no PACS behind it", _PORT),
    503: Answer(Action.UNREACHABLE, "Busy or stopped", _LATER),
    504: Answer(Action.UNREACHABLE, "The proxy got no answer from the PACS", _PACS_LOG),
    507: Answer(Action.RETRY, "Out of space", _FULL),
}


def of_http(code: int) -> Answer:
    """Return the row of an HTTP code; unknown ones by their class (RFC 9110 15)."""
    if code in HTTP:
        return HTTP[code]
    if 200 <= code < 300:
        return Answer(Action.NOTE, "Stored with an unusual code")
    if 300 <= code < 400:
        return Answer(Action.UNREACHABLE, "Redirected", _ROOT)
    if 400 <= code < 500:
        return Answer(Action.DEAD_LETTER, "Refused", _PACS_LOG)
    return Answer(Action.RETRY, "Error of the PACS", _PACS_LOG)
