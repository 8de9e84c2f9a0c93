"""Storage commitment on our port: recorded before it is answered, from any encoding, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pynetdicom import AE, build_role
from pynetdicom.association import Association

from fakes.ledger import FakeLedger
from lightbox.domain.commitment import (
    NO_SUCH_INSTANCE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReported,
    CommitmentRequested,
    Failure,
    Reference,
)
from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.receive import status
from lightbox.receive.commitment import LONGEST, Heading, Letter, NotDoneError
from listening import Running, listening

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
TRANSACTION = "2.25.4711"


def a_reference(uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item


def a_request(*uids: str) -> Dataset:
    request = Dataset()
    request.TransactionUID = TRANSACTION
    request.ReferencedSOPSequence = [a_reference(uid) for uid in uids]
    return request


def a_report(kept: tuple[str, ...], failed: tuple[str, ...] = ()) -> Dataset:
    report = a_request(*kept)
    if not kept:
        del report.ReferencedSOPSequence
    if failed:
        report.FailedSOPSequence = [a_reference(uid, NO_SUCH_INSTANCE) for uid in failed]
    return report


def encoded(data_set: Dataset, syntax: str, *, undefined: bool = False) -> bytes:
    for keyword in ("ReferencedSOPSequence", "FailedSOPSequence"):
        if undefined and keyword in data_set:
            data_set[keyword].is_undefined_length = True
            for item in data_set[keyword].value:
                item.is_undefined_length_sequence_item = True
    buffer = DicomBytesIO(BytesIO().getvalue())
    buffer.is_implicit_VR = syntax == IMPLICIT
    buffer.is_little_endian = True
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def a_heading(syntax: str = EXPLICIT, *, is_report: bool = False, kind: int = 1) -> Heading:
    return Heading(is_report, kind, PUSH_MODEL, PUSH_MODEL_INSTANCE, syntax, "CT1", "10.0.0.1")


def taken(data: bytes, heading: Heading, ledger: FakeLedger | None = None) -> object:
    letter = Letter(heading, ledger or FakeLedger())
    letter.add(memoryview(data))
    return letter.finish()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("undefined", [False, True])
def test_a_request_is_read_in_every_encoding(syntax: str, undefined: bool) -> None:
    data = encoded(a_request("1.2.3", "1.2.4"), syntax, undefined=undefined)
    ledger = FakeLedger()
    expected = CommitmentRequested(
        TRANSACTION, "CT1", "10.0.0.1", (Reference(CT, "1.2.3"), Reference(CT, "1.2.4"))
    )
    assert taken(data, a_heading(syntax), ledger) == expected
    assert ledger.events == (expected,)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("undefined", [False, True])
def test_a_report_says_what_is_kept_and_what_is_not(syntax: str, undefined: bool) -> None:
    data = encoded(a_report(("1.2.3",), ("1.2.4",)), syntax, undefined=undefined)
    heading = a_heading(syntax, is_report=True, kind=2)
    assert taken(data, heading) == CommitmentReported(
        TRANSACTION, "CT1", ("1.2.3",), (Failure(CT, "1.2.4", NO_SUCH_INSTANCE),)
    )


def test_what_is_not_durable_is_not_answered_with_success() -> None:
    ledger = FakeLedger()
    ledger.fail()
    with pytest.raises(RefusedError) as caught:
        taken(encoded(a_request("1.2.3"), EXPLICIT), a_heading(), ledger)
    assert status.NORMALISED[caught.value.refusal] == 0x0213


def test_more_than_a_megabyte_is_refused() -> None:
    letter = Letter(a_heading(), FakeLedger())
    letter.add(memoryview(bytes(LONGEST)))
    with pytest.raises(RefusedError) as caught:
        letter.add(memoryview(b"x"))
    assert caught.value.refusal is RefusalReason.TOO_LARGE


@pytest.mark.parametrize(
    ("is_report", "kind", "code"), [(False, 2, 0x0123), (True, 3, 0x0113), (True, 0, 0x0113)]
)
def test_other_actions_and_events_have_their_status(is_report: bool, kind: int, code: int) -> None:
    with pytest.raises(NotDoneError) as caught:
        Letter(a_heading(is_report=is_report, kind=kind), FakeLedger())
    assert caught.value.status == code


@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT]), st.booleans())
def test_noise_is_refused_or_read_and_nothing_else(data: bytes, syntax: str, report: bool) -> None:
    with suppress(NotDoneError):
        taken(data, a_heading(syntax, is_report=report))


@given(st.integers(0, 200), st.integers(0, 255), st.booleans())
def test_a_bit_of_damage_breaks_nothing(at: int, value: int, undefined: bool) -> None:
    data = bytearray(encoded(a_request("1.2.3", "1.2.4"), EXPLICIT, undefined=undefined))
    data[at % len(data)] = value
    with suppress(NotDoneError):
        taken(bytes(data), a_heading())


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_refusal_has_a_status_of_the_normalised_services(reason: RefusalReason) -> None:
    assert 0x0100 < status.NORMALISED[reason] < 0x0300


# ---- on the wire, with pynetdicom as the peer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with listening(tmp_path_factory.mktemp("commitment") / "data") as it:
        yield it


def associated(running: Running, *, reports: bool = False) -> Association:
    ae = AE("CT1")
    ae.add_requested_context(PUSH_MODEL)
    ae.add_requested_context(CT)
    made = ae.associate(
        "127.0.0.1",
        running.port,
        ae_title="LIGHTBOX",
        ext_neg=[build_role(PUSH_MODEL, scp_role=True)] if reports else None,
    )
    assert made.is_established
    assert {str(c.abstract_syntax) for c in made.accepted_contexts} == {PUSH_MODEL, CT}
    return made


def test_an_n_action_is_recorded_and_answered_with_success(running: Running) -> None:
    association = associated(running)
    request = a_request("1.2.3.1", "1.2.3.2")
    answer, _ = association.send_n_action(request, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    association.release()
    assert answer.Status == 0x0000
    found = [e for e in running.ledger.events if isinstance(e, CommitmentRequested)]
    assert found[-1].calling_ae == "CT1"
    assert [r.sop_instance_uid for r in found[-1].references] == ["1.2.3.1", "1.2.3.2"]


def test_a_report_of_a_peer_that_is_the_scp_is_recorded_and_answered(running: Running) -> None:
    association = associated(running, reports=True)
    report = a_report(("1.2.3.1",), ("1.2.3.2",))
    answer, _ = association.send_n_event_report(report, 2, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    association.release()
    assert answer.Status == 0x0000
    found = [e for e in running.ledger.events if isinstance(e, CommitmentReported)]
    assert found[-1].kept == ("1.2.3.1",)


def test_a_request_without_references_is_refused_and_the_association_lives(
    running: Running,
) -> None:
    association = associated(running)
    bad = Dataset()
    bad.TransactionUID = "1.2.3"
    answer, _ = association.send_n_action(bad, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assert answer.Status == 0x0115
    answer, _ = association.send_n_action(a_request("1.2"), 9, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assert answer.Status == 0x0123
    answer, _ = association.send_n_action(a_request("1.2"), 1, PUSH_MODEL, "1.2.3")
    assert answer.Status == 0x0112
    assert association.is_established
    association.release()
