from __future__ import annotations

import struct
import time
from importlib.metadata import version

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.presentation import AllStoragePresentationContexts

import raw_peer as raw
from lightbox.receive.inflate import DEFLATED
from lightbox.receive.wire import negotiate
from lightbox.receive.wire.negotiate import Context, Rejection
from lightbox.receive.wire.pdu import ProtocolError
from lightbox.settings import Dicom

REQUEST = raw.associate_rq(*raw.DEFAULT_CONTEXTS, longest=16384)


def accepted(*contexts: bytes, user: bytes = b"") -> tuple[dict[int, Context], bytes]:
    request, _ = negotiate.decode(raw.associate_rq(*contexts, user=user), 128)
    agreement, answer = negotiate.accept(request, 131072)
    return agreement.contexts, answer


def user_items(answer: bytes) -> dict[int, bytes]:
    """Return the items of the user information of an A-ASSOCIATE-AC."""
    found, at = {}, 74
    while answer[at] != 0x50:
        at += 4 + int(struct.unpack_from(">H", answer, at + 2)[0])
    at += 4
    while at < len(answer):
        length = struct.unpack_from(">H", answer, at + 2)[0]
        found[answer[at]] = answer[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def test_the_codecs_that_we_rely_on_are_those_that_were_tested() -> None:
    assert version("pynetdicom") == "3.0.4"


def test_names_contexts_and_lengths_are_read() -> None:
    request, protocol = negotiate.decode(REQUEST, 128)
    agreement, _ = negotiate.accept(request, 131072)
    assert protocol == 1
    assert (agreement.called_ae, agreement.calling_ae) == ("LIGHTBOX", "RAW")
    assert agreement.longest_pdu == 16384
    assert agreement.contexts == {
        1: Context(raw.VERIFICATION, raw.IMPLICIT),
        3: Context(raw.CT_IMAGE, raw.IMPLICIT),
        5: Context(raw.CT_IMAGE, raw.EXPLICIT),
    }


@pytest.mark.parametrize("syntax", negotiate.TRANSFER_SYNTAXES)
def test_every_syntax_that_modalities_send_is_taken_as_it_is(syntax: str) -> None:
    contexts, _ = accepted(raw.context_item(1, raw.CT_IMAGE, syntax))
    assert contexts == {1: Context(raw.CT_IMAGE, syntax)}


def test_every_storage_sop_class_is_taken() -> None:
    classes = [str(c.abstract_syntax) for c in AllStoragePresentationContexts]
    classes += negotiate.RETIRED_STORAGE
    for first in range(0, len(classes), 128):
        some = classes[first : first + 128]
        items = [raw.context_item(1 + 2 * i, uid, raw.IMPLICIT) for i, uid in enumerate(some)]
        contexts, _ = accepted(*items)
        assert [c.abstract_syntax for c in contexts.values()] == some
        assert all(negotiate.is_storage(uid) for uid in some)


def test_a_private_sop_class_is_taken_where_it_is_configured_and_nowhere_else() -> None:
    private = "1.3.12.2.1107.5.9.1"
    context = raw.context_item(1, private, raw.EXPLICIT)
    request, _ = negotiate.decode(raw.associate_rq(context), 128)
    assert negotiate.accept(request, 131072)[0].contexts == {}
    agreement, _ = negotiate.accept(request, 131072, (private,))
    assert agreement.contexts == {1: Context(private, raw.EXPLICIT)}


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.2", "siemens"])
def test_what_is_no_private_uid_is_refused_as_a_private_sop_class(uid: str) -> None:
    with pytest.raises(ValueError, match=uid):
        Dicom(private_sop_classes=(uid,))


def test_of_several_syntaxes_the_one_that_loses_and_costs_least_is_chosen() -> None:
    lossy_first = ("1.2.840.10008.1.2.4.50", raw.IMPLICIT, "1.2.840.10008.1.2.4.90", raw.EXPLICIT)
    contexts, _ = accepted(raw.context_item(1, raw.CT_IMAGE, *lossy_first))
    assert contexts[1].transfer_syntax == raw.EXPLICIT


@pytest.mark.parametrize("deflated", ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"])
def test_deflated_data_sets_are_not_taken(deflated: str) -> None:
    assert accepted(raw.context_item(1, raw.CT_IMAGE, deflated))[0] == {}


def test_deflated_data_sets_are_taken_where_a_site_says_so_and_nothing_is_chosen_after_them() -> (
    None
):
    proposed = (
        raw.context_item(1, raw.CT_IMAGE, DEFLATED),
        raw.context_item(3, raw.CT_IMAGE, DEFLATED, raw.IMPLICIT),
        raw.context_item(5, raw.CT_IMAGE, "1.2.840.10008.1.2.8.1"),
        raw.context_item(7, negotiate.VERIFICATION, DEFLATED),
    )
    request, _ = negotiate.decode(raw.associate_rq(*proposed), 128)
    contexts = negotiate.accept(request, 131072, deflated=True)[0].contexts
    assert contexts == {1: Context(raw.CT_IMAGE, DEFLATED), 3: Context(raw.CT_IMAGE, raw.IMPLICIT)}


def test_what_we_do_not_support_is_left_unanswered() -> None:
    asked = (
        raw.item(0x53, struct.pack(">HH", 0, 0))  # asynchronous operations, no limit
        + raw.item(0x54, struct.pack(">H", 25) + raw.CT_IMAGE.encode() + b"\1\1")  # roles
        + raw.item(0x56, struct.pack(">H", 25) + raw.CT_IMAGE.encode() + b"\1\0")  # extended
        + raw.item(0x58, b"\1\1\0\3joe\0\0")  # user identity, an answer is wanted
    )
    contexts, answer = accepted(*raw.DEFAULT_CONTEXTS, user=asked)
    assert len(contexts) == 3
    assert user_items(answer).keys() == {0x51, 0x52, 0x55}
    assert user_items(answer)[0x51] == struct.pack(">L", 131072)


@pytest.mark.parametrize("kind", [0x00, 0x53, 0x58, 0x5A, 0x5B, 0xFF])
def test_items_of_unrecognised_types_are_skipped_wherever_they_stand(kind: int) -> None:
    strange = raw.item(kind, b"of a later edition")
    inside = raw.context_item(1, raw.CT_IMAGE, raw.IMPLICIT)[4:] + strange
    whole = raw.associate_rq(raw.item(0x20, inside), user=strange, longest=16384)
    request, _ = negotiate.decode(raw.pdu(1, whole[6:] + strange), 128)
    agreement, _ = negotiate.accept(request, 131072)
    assert agreement.contexts == {1: Context(raw.CT_IMAGE, raw.IMPLICIT)}
    assert agreement.longest_pdu == 16384


def test_a_version_name_of_a_peer_that_is_too_long_is_forgiven() -> None:
    contexts, _ = accepted(*raw.DEFAULT_CONTEXTS, user=raw.item(0x55, b"VENDOR_RELEASE_2026"))
    assert len(contexts) == 3


def test_refusals_come_in_the_order_of_the_layers() -> None:
    request, _ = negotiate.decode(raw.associate_rq(called="X", calling="Y"), 128)
    strict = Dicom(accept_calling=("SCANNER",))
    assert negotiate.refuse(request, 2, "10.0.0.1", strict) is Rejection.PROTOCOL_VERSION
    assert negotiate.refuse(request, 1, "10.0.0.1", strict) is Rejection.CALLED_AE
    known, _ = negotiate.decode(raw.associate_rq(called="LIGHTBOX", calling="Y"), 128)
    assert negotiate.refuse(known, 1, "10.0.0.1", strict) is Rejection.CALLING_AE
    assert negotiate.refuse(known, 1, "10.0.0.1", Dicom()) is None


def test_ae_titles_that_end_in_zeros_are_forgiven() -> None:
    request = REQUEST.replace(b"RAW" + b" " * 13, b"RAW" + b"\0" * 13)
    assert request != REQUEST
    agreement, _ = negotiate.accept(negotiate.decode(request, 128)[0], 131072)
    assert agreement.calling_ae == "RAW"


@pytest.mark.parametrize("ae", [b"A\x1bB", b"\xff\xfe", b"A\\B", b"a\nb", b""])
def test_ae_titles_that_are_none_are_a_protocol_error(ae: bytes) -> None:
    with pytest.raises(ProtocolError):
        negotiate.decode(REQUEST[:26] + ae.ljust(16) + REQUEST[42:], 128)


@pytest.mark.parametrize("rejection", Rejection)
def test_a_rejection_says_result_source_and_reason(rejection: Rejection) -> None:
    request, _ = negotiate.decode(REQUEST, 128)
    body = negotiate.reject(request, rejection)[6:]
    assert (body[1], body[2], body[3]) == rejection.value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_a_request_or_a_protocol_error(noise: bytes, at: int) -> None:
    body = bytearray(REQUEST[6:])
    body[at % len(body) : at % len(body) + len(noise)] = noise
    try:
        request, protocol = negotiate.decode(raw.pdu(1, bytes(body)), 128)
        negotiate.refuse(request, protocol, "127.0.0.1", Dicom())
        negotiate.accept(request, 131072)
    except ProtocolError:
        return


def test_the_longest_request_that_is_read_does_not_take_long() -> None:
    many = raw.context_item(1, raw.CT_IMAGE, *[raw.IMPLICIT] * 2500)
    request = raw.associate_rq(*[many] * 4)
    began = time.process_time()
    negotiate.decode(request, 128)
    assert len(request) > 2**17
    assert time.process_time() - began < 2
