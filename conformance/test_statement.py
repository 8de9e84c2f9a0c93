"""Promise: ``STATEMENT.md`` and ``IHE.md`` say what the running code does, sentence by sentence.

The tables are those that the code prints. What table N.1-1 offers is proposed to a real listener over
a real socket, context by context, and so is everything that it does not offer.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pydicom
import pytest
from pydicom._uid_dict import UID_dictionary

import raw_peer as raw
from certificates import Authority
from created_objects import CREATED, created, faults
from explained_builders import a_header, an_explained
from lightbox.deliver.cstore import CStore
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.receive.wire.negotiate import SUPPORTED, Rejection
from lightbox.receive.wire.tls import tls_context
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport
from lightbox.settings import DestinationSettings, Dicom, Limits, Tls
from listening import Running, listening
from raw_peer import RawPeer
from statement import DOCUMENT, TABLES, filled

ROOT = Path(__file__).parents[1]
IHE = DOCUMENT.with_name("IHE.md")
TEXT = DOCUMENT.read_text()
ACCEPTED, REFUSED_SOP_CLASS, REFUSED_SYNTAXES = 0, 3, 4

Proposal = tuple[str, str]


# ---- the document


def test_the_tables_are_those_that_the_code_prints() -> None:
    assert filled(TEXT) == TEXT, "run: make statement"


def test_every_table_stands_in_the_document_once() -> None:
    assert sorted(re.findall(r"<!-- table: (\w+) -->", TEXT)) == sorted(TABLES)


def proofs(text: str) -> list[tuple[str, str]]:
    """Return (id, test) of each test in a table of proofs."""
    lines = re.findall(r"^\| (\w+) \|(.*)\|$", text, re.MULTILINE)
    return [(name, test) for name, rest in lines for test in re.findall(r"`([\w/.]+::\w+)`", rest)]


def test_every_sentence_with_an_id_has_a_test_and_every_test_a_sentence() -> None:
    sentences = re.findall(r"^- \*\*(S\d+)\*\* \S.*\.$", TEXT, re.MULTILINE)
    assert sentences == [f"S{number}" for number in range(1, len(sentences) + 1)]
    assert list(dict.fromkeys(identifier for identifier, _ in proofs(TEXT))) == sentences


@pytest.mark.parametrize("document", [DOCUMENT, IHE], ids=lambda path: path.name)
def test_every_test_that_is_named_exists(document: Path) -> None:
    named = proofs(document.read_text())
    assert named
    for identifier, test in named:
        file, _, function = test.partition("::")
        assert (ROOT / file).is_file(), f"{identifier}: {file}"
        assert re.search(rf"^ *def {function}\(", (ROOT / file).read_text(), re.MULTILINE), test


def test_every_requirement_of_ihe_is_proven_or_not_claimed() -> None:
    rows = re.findall(r"^\| ([A-Z]+\d+) \|(.*)\|(.*)\|$", IHE.read_text(), re.MULTILINE)
    assert len({identifier for identifier, _, _ in rows}) == len(rows) > 10
    for identifier, _, proof in rows:
        assert "::" in proof or proof.strip().startswith("not claimed"), identifier


# ---- the negotiation


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with listening(tmp_path_factory.mktemp("statement") / "data") as it:
        yield it


def results_of(port: int, proposals: list[Proposal]) -> dict[Proposal, int]:
    """Propose each in a context of its own; return the result of each (PS3.8 table 9-18)."""
    found: dict[Proposal, int] = {}
    rest = iter(proposals)
    while some := list(islice(rest, 128)):
        items = [raw.context_item(2 * i + 1, *each) for i, each in enumerate(some)]
        with RawPeer(port) as peer:
            peer.send(raw.associate_rq(*items))
            kind, body = peer.read()
            assert kind == 2, (kind, body)
            peer.send(raw.pdu(5, bytes(4)))
            assert peer.read()[0] == 6
        found |= {some[(number - 1) // 2]: result for number, result in _contexts(body)}
    return found


def _contexts(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield identifier and result of each presentation context of an A-ASSOCIATE-AC."""
    at = 68
    while at < len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        if kind == 0x21:
            yield body[at + 4], body[at + 6]
        at += 4 + length


def rows(table: str) -> list[list[str]]:
    """Return the rows of a table as they stand in the document."""
    found = re.search(rf"<!-- table: {table} -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert found is not None
    lines = found[1].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def stated() -> list[Proposal]:
    """Return every class with every transfer syntax that the document says is accepted."""
    sets: dict[str, list[str]] = {}
    for name, _, _, uid in rows("transfer_syntax_sets"):
        sets.setdefault(name, []).append(uid)
    named = {pydicom.uid.UID(uid).name: uid for uid in UID_dictionary}
    content = [(row[1], uid) for row in rows("content_and_transfer") for uid in sets[row[2]]]
    services = [(row[1], named[each]) for row in rows("other_services")
                for each in row[4].replace(" (retired)", "").split(", ")]  # fmt: skip
    return content + services


def test_every_context_of_table_n_1_1_is_accepted(running: Running) -> None:
    proposals = stated()
    results = results_of(running.port, proposals)
    assert len(results) == len(proposals) > 2000
    assert {each for each, result in results.items() if result != ACCEPTED} == set()


def of_type(kind: str) -> list[str]:
    return [uid for uid, entry in UID_dictionary.items() if entry[1] == kind]


def test_every_other_transfer_syntax_is_refused_with_result_4(running: Running) -> None:
    named = {syntax for sop_class, syntax in stated() if sop_class == raw.CT_IMAGE}
    others = [uid for uid in of_type("Transfer Syntax") if uid not in named]
    assert "1.2.840.10008.1.2.1.99" in others
    results = results_of(running.port, [(raw.CT_IMAGE, uid) for uid in others])
    assert set(results.values()) == {REFUSED_SYNTAXES}


def test_every_other_sop_class_is_refused_with_result_3(running: Running) -> None:
    named = {sop_class for sop_class, _ in stated()}
    others = [uid for uid in of_type("SOP Class") if uid not in named]
    assert "1.2.840.10008.5.1.4.1.2.2.1" in others  # Study Root Query/Retrieve: FIND
    results = results_of(running.port, [(uid, raw.IMPLICIT) for uid in [*others, "1.2.3.4.5"]])
    assert set(results.values()) == {REFUSED_SOP_CLASS}


def request_for(rejection: Rejection) -> bytes:
    """Return a request that must be rejected so."""
    plain = raw.associate_rq(*raw.DEFAULT_CONTEXTS)
    match rejection:
        case Rejection.PROTOCOL_VERSION:
            return raw.associate_rq(*raw.DEFAULT_CONTEXTS, version=2)
        case Rejection.APPLICATION_CONTEXT:
            return plain.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9")
        case Rejection.CALLED_AE:
            return raw.associate_rq(*raw.DEFAULT_CONTEXTS, called="NOBODY")
        case Rejection.CALLING_AE:
            return raw.associate_rq(*raw.DEFAULT_CONTEXTS, calling="NOBODY")
        case Rejection.LOCAL_LIMIT:
            return raw.associate_rq(*raw.DEFAULT_CONTEXTS, calling="SCANNER")


def test_every_rejection_of_the_table_is_sent_as_it_says(tmp_path: Path) -> None:
    few = Dicom(accept_calling=("SCANNER",), limits=Limits(associations_per_peer=1))
    said = {tuple(int(cell) for cell in row[:3]) for row in rows("rejections_sent")}
    seen = set()
    with listening(tmp_path, few) as it, RawPeer(it.port) as first:
        first.associate(calling="SCANNER")
        for rejection in Rejection:
            with RawPeer(it.port) as peer:
                peer.send(request_for(rejection))
                kind, body = peer.read()
                assert kind == 3, rejection
                assert (body[1], body[2], body[3]) == rejection.value, rejection
                seen.add(rejection.value)
    assert seen == said


def test_what_we_propose_as_scu_is_stated_and_nothing_twice(tmp_path: Path) -> None:
    chosen = DestinationSettings(name="pacs", syntaxes=("rle", "jpeg_ls"))
    proposed = CStore(chosen, "LIGHTBOX", tmp_path).contexts
    assert len(set(proposed)) == len(proposed) <= 128
    sets: dict[str, set[str]] = {}
    for name, _, _, uid in rows("transfer_syntax_sets"):
        sets.setdefault(name, set()).add(uid)
    said = {(row[1], uid) for row in rows("content_and_transfer") if row[3] != "-"
            for uid in sets[row[3]]}  # fmt: skip
    assert {each for each in proposed if each[0] != raw.VERIFICATION} == said


# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    signed = authority.sign("lightbox", "IP:127.0.0.1")
    return Tls(port=0, certificate=str(signed.certificate), key=str(signed.key),
               require_client=False)  # fmt: skip


def _client(ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


def _shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Let two contexts talk in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    for _ in range(4):
        for each in (theirs, ours):
            try:
                each.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return theirs.version() is not None


@pytest.mark.parametrize(
    ("ciphers", "spoken"),
    [
        ("ECDHE-ECDSA-AES256-GCM-SHA384", True),
        ("ECDHE-ECDSA-AES256-SHA384", False),  # no AEAD
        ("ECDHE-ECDSA-AES256-SHA", False),
        ("ALL:!ECDHE:!DHE", False),  # no forward secrecy
    ],
)
def test_weak_tls_is_not_spoken_by_the_listener(
    certificates: Tls, ciphers: str, spoken: bool
) -> None:
    server = tls_context(certificates)
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2
    assert _shakes_hands(server, _client(ciphers)) is spoken


@pytest.mark.parametrize("insecure", [False, True])
def test_beside_tls_plain_dicom_is_answered_on_loopback_only(
    tmp_path: Path, certificates: Tls, insecure: bool
) -> None:
    everywhere = Dicom(host="0.0.0.0", tls=certificates, insecure=insecure)
    with listening(tmp_path, everywhere) as it:
        with socket.create_connection(("127.0.0.1", it.port), timeout=5):
            pass
        # 127.0.0.2 stands for another interface: who is bound to 127.0.0.1 does not answer there
        if insecure:
            with socket.create_connection(("127.0.0.2", it.port), timeout=5):
                pass
        else:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", it.port), timeout=5)


# ---- the objects


@pytest.mark.parametrize("sop_class", CREATED, ids=CREATED.values())
def test_every_object_has_what_its_iod_asks_for_and_nothing_else(sop_class: str) -> None:
    for made in created():
        assert list(faults(made[pydicom.uid.UID(sop_class)])) == []


def test_the_look_at_the_iod_finds_what_is_wrong() -> None:
    made = pydicom.Dataset(created()[0][next(iter(CREATED))])
    made.EchoTime = "12"
    del made.ConversionType
    made.SeriesInstanceUID = ""
    assert list(faults(made)) == [
        "EchoTime is of no module of this IOD",
        "SeriesInstanceUID (type 1 of general-series) is empty",
        "ConversionType (type 1 of sc-equipment) is missing",
    ]


def test_every_object_says_that_it_is_not_for_diagnosis_and_whose_it_is() -> None:
    for made in created():
        for dataset in made.values():
            said = "\n".join(str(e.value) for e in dataset.iterall() if e.VR in ("ST", "LT", "UT"))
            assert NOT_FOR_DIAGNOSIS.casefold() in said.casefold(), dataset.SOPClassUID.name
            assert dataset.StudyInstanceUID
            assert dataset.PatientID in {"P1", "P2"}


def test_results_of_a_de_identified_study_stay_so() -> None:
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    source = a_header(
        PatientIdentityRemoved="YES",
        DeidentificationMethod="by hand",
        DeidentificationMethodCodeSequence=[code],
        LongitudinalTemporalInformationModified="REMOVED",
    )
    explained = an_explained(source)
    for writer in (SecondaryCapture(), Segmentation(), StructuredReport()):
        data = writer.write(explained)
        assert data is not None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
        for keyword in (
            "PatientIdentityRemoved", "DeidentificationMethod",
            "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
        ):  # fmt: skip
            assert made[keyword].value == source[keyword].value, (writer.kind, keyword)


def test_the_listener_offers_no_class_that_the_document_leaves_out() -> None:
    assert set(SUPPORTED) == {sop_class for sop_class, _ in stated()}
