"""A-ASSOCIATE: pynetdicom's codecs read and write it, we decide (PS3.8 9.3.2 to 9.3.4, 7.1.1).

The request is bounded before it is decoded: a few hundred kilobytes can hold 384,000 transfer
syntaxes, which take seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, field
from enum import Enum

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    PresentationContext,
    build_context,
    negotiate_as_acceptor,
)

from lightbox.domain.commitment import PUSH_MODEL
from lightbox.receive.inflate import DEFLATED
from lightbox.receive.stored_file import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from lightbox.receive.wire.pdu import AbortReason, ProtocolError
from lightbox.settings import Dicom

VERIFICATION = "1.2.840.10008.1.1"

NOT_STORAGE = (VERIFICATION, PUSH_MODEL)
"""Of what we accept, what is not a storage SOP class."""

TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian, retired
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K Lossless RPCL
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.203",  # HTJ2K
)
"""What we take, lossless first: where a context proposes several, the first of these is chosen.

Deflated is not among them: 400 kilobytes of it can be a gigabyte of header. A site takes it by
saying how much it may become, ``dicom.limits.inflated``.
"""

RETIRED_STORAGE = (
    "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame
    "1.2.840.10008.5.1.4.1.1.5",  # Nuclear Medicine
    "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound
    "1.2.840.10008.5.1.4.1.1.8",  # Standalone Overlay
    "1.2.840.10008.5.1.4.1.1.9",  # Standalone Curve
    "1.2.840.10008.5.1.4.1.1.10",  # Standalone Modality LUT
    "1.2.840.10008.5.1.4.1.1.11",  # Standalone VOI LUT
    "1.2.840.10008.5.1.4.1.1.12.3",  # X-Ray Angiographic Bi-plane
    "1.2.840.10008.5.1.4.1.1.77.1",  # VL, trial
    "1.2.840.10008.5.1.4.1.1.77.2",  # VL Multi-frame, trial
    "1.2.840.10008.5.1.4.1.1.129",  # Standalone PET Curve
)
"""Storage SOP classes that left the standard and are still forwarded by old archives (PS3.6 A)."""

_FIXED = 74  # bytes of an A-ASSOCIATE-RQ before its items (PS3.8 table 9-11)
_CONTEXT, _USER_INFORMATION = 0x20, 0x50
_ITEMS = (0x10, _CONTEXT, _USER_INFORMATION)
_INSIDE = {
    _CONTEXT: (4, (0x30, 0x40)),  # abstract and transfer syntaxes
    _USER_INFORMATION: (0, (0x51, 0x54)),  # longest PDU and roles
}
"""Item → its bytes before what is in it, and what of that we read (PS3.8 9.3.2, PS3.7 D.3.3)."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_STORAGE = {
    sop_class: build_context(sop_class, [*TRANSFER_SYNTAXES])
    for sop_class in (
        *(str(context.abstract_syntax) for context in AllStoragePresentationContexts),
        *RETIRED_STORAGE,
    )
}
SUPPORTED = _STORAGE | {VERIFICATION: build_context(VERIFICATION, [*TRANSFER_SYNTAXES[:3]])}
"""SOP class → what we accept for it; ``conformance/STATEMENT.md`` is printed from it."""
SUPPORTED[PUSH_MODEL] = build_context(PUSH_MODEL, [*TRANSFER_SYNTAXES[:2]])
# A peer asks us to keep its objects (it is the SCU, the default) or reports on ours (the SCP).
SUPPORTED[PUSH_MODEL].scu_role = SUPPORTED[PUSH_MODEL].scp_role = True


class Rejection(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    PROTOCOL_VERSION = (1, 2, 2)
    APPLICATION_CONTEXT = (1, 1, 2)
    CALLING_AE = (1, 1, 3)
    CALLED_AE = (1, 1, 7)
    LOCAL_LIMIT = (2, 3, 2)


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an association may do.

    Attributes
    ----------
    contexts : mapping of int to Context
        By presentation context ID; possibly empty.
    longest_pdu : int
        Longest PDU that the peer takes; 0 is any.
    """

    calling_ae: str
    called_ae: str
    contexts: dict[int, Context] = field(default_factory=dict)
    longest_pdu: int = 0


def decode(pdu: bytes, most_contexts: int) -> tuple[A_ASSOCIATE, int]:
    """Read an A-ASSOCIATE-RQ; return the request and its protocol version.

    Raises
    ------
    ProtocolError
        If it cannot be read, or proposes more contexts than there are identifiers for.
    """
    request = A_ASSOCIATE_RQ()
    try:
        request.decode(_without_unknown(_padded_with_spaces(pdu)))
        primitive: A_ASSOCIATE = request.to_primitive()
        contexts = primitive.presentation_context_definition_list
        usable = all(c.abstract_syntax and c.transfer_syntax for c in contexts)
    except Exception as error:  # pynetdicom raises whatever its field happens to meet
        raise ProtocolError(AbortReason.INVALID_PARAMETER, f"A-ASSOCIATE-RQ: {error}") from error
    if len(contexts) > most_contexts or not usable:
        raise ProtocolError(AbortReason.INVALID_PARAMETER, "A-ASSOCIATE-RQ: presentation contexts")
    return primitive, int(request.protocol_version)


def _padded_with_spaces(pdu: bytes) -> bytes:
    """Forgive AE titles that end in zeros, as some devices pad them (PS3.8 9.3.2 wants spaces)."""
    called, calling = (pdu[at : at + 16].rstrip(b"\0 ") for at in (10, 26))
    return pdu[:10] + called.ljust(16) + calling.ljust(16) + pdu[42:]


def _without_unknown(pdu: bytes) -> bytes:
    """Ignore items of unrecognised types (PS3.8 9.3.1); the codec would refuse the whole request."""
    items = _known(memoryview(pdu)[_FIXED:], _ITEMS)
    return pdu[:2] + (_FIXED - 6 + len(items)).to_bytes(4, "big") + pdu[6:_FIXED] + items


def _known(items: memoryview, kinds: Container[int]) -> bytes:
    """Return the items of these kinds; what cannot be cut into items stays as it is."""
    kept = []
    at, end = 0, len(items)
    while at < end:
        after = at + 4 + int.from_bytes(items[at + 2 : at + 4], "big")
        if after > end:
            kept.append(bytes(items[at:]))
            break
        kind, value = items[at], items[at + 4 : after]
        at = after
        if kind not in kinds:
            continue
        fixed, inside = _INSIDE.get(kind, (len(value), ()))
        known = bytes(value[:fixed]) + _known(value[fixed:], inside)
        kept.append(bytes((kind, 0)) + len(known).to_bytes(2, "big") + known)
    return b"".join(kept)


def refuse(request: A_ASSOCIATE, version: int, peer: str, settings: Dicom) -> Rejection | None:
    """Return why this peer may not have an association, or None: nothing was read but names."""
    if not version & 1:
        return Rejection.PROTOCOL_VERSION
    if str(request.application_context_name) != _APPLICATION_CONTEXT:
        return Rejection.APPLICATION_CONTEXT
    if (request.called_ae_title or "").strip() not in settings.accept_called:
        return Rejection.CALLED_AE
    calling = (request.calling_ae_title or "").strip()
    allowed = settings.accept_calling
    if allowed and calling not in allowed and f"{calling}@{peer}" not in allowed:
        return Rejection.CALLING_AE
    return None


def _answer(request: A_ASSOCIATE) -> A_ASSOCIATE:
    answer = A_ASSOCIATE()
    answer.application_context_name = _APPLICATION_CONTEXT
    answer.calling_ae_title = request.calling_ae_title
    answer.called_ae_title = request.called_ae_title
    return answer


def reject(request: A_ASSOCIATE, rejection: Rejection) -> bytes:
    """Return the A-ASSOCIATE-RJ."""
    answer = _answer(request)
    answer.result, answer.result_source, answer.diagnostic = rejection.value
    return bytes(A_ASSOCIATE_RJ(answer).encode())


def accept(
    request: A_ASSOCIATE,
    longest_pdu: int,
    private: Collection[str] = (),
    *,
    deflated: bool = False,
) -> tuple[Agreement, bytes]:
    """Return what was agreed, and the A-ASSOCIATE-AC that says so.

    Of ``private`` SOP classes too, and of ``deflated`` data sets, where these are taken.
    Contexts are accepted or refused one by one. Asynchronous operations, extended negotiation
    and user identity are not answered, which means: not supported (PS3.7 D.3.3.3, D.3.3.5,
    D.3.3.7).
    """
    proposed = list(request.presentation_context_definition_list)
    wanted = {str(c.abstract_syntax) for c in proposed}
    syntaxes = [*TRANSFER_SYNTAXES, DEFLATED] if deflated else [*TRANSFER_SYNTAXES]
    of_site = {uid for uid in wanted if uid in private or (deflated and uid in _STORAGE)}
    ours = [SUPPORTED[uid] for uid in wanted - of_site if uid in SUPPORTED]
    ours += [build_context(uid, syntaxes) for uid in of_site]
    results, roles = negotiate_as_acceptor(proposed, ours, _roles(request))
    answer = _answer(request)
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = results
    longest = MaximumLengthNotification()
    longest.maximum_length_received = longest_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer.user_information = [longest, implementation, version, *roles]
    agreement = Agreement(
        calling_ae=str(request.calling_ae_title or "").strip(),
        called_ae=str(request.called_ae_title or "").strip(),
        contexts={int(c.context_id or 0): _context(c) for c in results if c.result == 0},
        longest_pdu=int(request.maximum_length_received or 0),
    )
    return agreement, bytes(A_ASSOCIATE_AC(answer).encode())


def _roles(request: A_ASSOCIATE) -> dict[UID, tuple[bool | None, bool | None]]:
    """Return the roles, as SCU and SCP, that the peer proposes for itself (PS3.7 D.3.3.4)."""
    return {
        item.sop_class_uid: (bool(item.scu_role), bool(item.scp_role))
        for item in request.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.sop_class_uid
    }


def _context(context: PresentationContext) -> Context:
    return Context(str(context.abstract_syntax), str(context.transfer_syntax[0]))


def is_storage(abstract_syntax: str) -> bool:
    """Say whether this is a storage SOP class that we take wherever we are."""
    return abstract_syntax in _STORAGE
