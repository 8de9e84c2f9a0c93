"""The senders that hospitals have, against the real listener: DCMTK and pynetdicom."""

from __future__ import annotations

import hashlib
import logging
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pydicom
import pydicom.data
import pytest
import structlog
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pynetdicom import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time
from structlog.testing import capture_logs
from structlog.typing import EventDict

import raw_peer as raw
from lightbox.deliver.connection import RequestingEntity
from lightbox.domain.errors import UnreadableError
from lightbox.domain.identity import is_uid
from lightbox.receive.header import describe
from lightbox.receive.inflate import DEFLATED
from lightbox.receive.wire.negotiate import TRANSFER_SYNTAXES, is_storage
from lightbox.settings import Dicom, Limits, Tls
from listening import PATIENCE, Running, listening
from raw_peer import RawPeer

DATA = Path("../shared/data/dicom")

needs_dcmtk = pytest.mark.skipif(shutil.which("storescu") is None, reason="DCMTK is not installed")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the DICOM files of ../shared/data")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with listening(tmp_path / "data") as it:
        yield it


def dcmtk(program: str, running: Running, *arguments: str, called: str = "LIGHTBOX") -> str:
    command = [program, "-v", "-aet", "MODALITY", "-aec", called, "127.0.0.1", str(running.port)]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


def example(name: str) -> str:
    path = pydicom.data.get_testdata_file(name)
    assert isinstance(path, str)
    return path


def data_set_bytes(path: Path) -> bytes:
    whole = path.read_bytes()
    return whole[144 + int.from_bytes(whole[140:144], "little") :]


@needs_dcmtk
def test_echoscu_gets_an_answer(running: Running) -> None:
    assert dcmtk("echoscu", running).startswith("exit 0")


@needs_dcmtk
def test_what_storescu_sends_is_on_disk_byte_for_byte(running: Running) -> None:
    sent = Path(example("CT_small.dcm"))
    assert dcmtk("storescu", running, "-R", str(sent)).startswith("exit 0")
    (stored,) = running.stored
    file = running.root / stored.instance.path
    original = pydicom.dcmread(sent)
    assert pydicom.dcmread(file).PixelData == original.PixelData
    assert hashlib.sha256(data_set_bytes(file)).hexdigest() == stored.instance.sha256
    assert stored.instance.sop_instance_uid == original.SOPInstanceUID
    assert stored.instance.study_instance_uid == original.StudyInstanceUID
    assert stored.instance.size_bytes == file.stat().st_size
    assert stored.arrival.calling_ae == "MODALITY"
    assert file.stat().st_mode & 0o777 == 0o400
    running.wait_for_status("released")
    running.listener.drain(5)
    (released,) = running.released
    assert (released.association, released.instances, released.how) == (
        stored.arrival.association,
        1,
        "released",
    )


@needs_dcmtk
def test_an_unknown_called_ae_is_rejected_with_words_that_the_peer_prints(running: Running) -> None:
    said = dcmtk("echoscu", running, called="SOMEBODY")
    assert not said.startswith("exit 0")
    assert "Called AE Title Not Recognized" in said


@needs_dcmtk
def test_dcmsend_sends_a_mixed_folder_in_the_syntaxes_it_has(
    running: Running, tmp_path: Path
) -> None:
    names = (
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "JPEG2000.dcm",
        "MR_small_RLE.dcm",
        "JPGExtended.dcm",
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        shutil.copy(example(name), folder)
    said = dcmtk("dcmsend", running, "+sd", "--decompress-never", str(folder))
    assert said.startswith("exit 0"), said
    sent = {pydicom.dcmread(p).SOPInstanceUID for p in folder.iterdir()}
    assert {e.instance.sop_instance_uid for e in running.stored} == sent
    for event in running.stored:
        file = running.root / event.instance.path
        assert hashlib.sha256(data_set_bytes(file)).hexdigest() == event.instance.sha256


@needs_dcmtk
@pytest.mark.parametrize("most", [0, 40_000, 10_000])
def test_a_deflated_file_is_taken_where_a_site_says_how_much_it_may_become(
    tmp_path: Path, most: int
) -> None:
    """The example becomes 38 kilobytes."""
    deflated = tmp_path / "deflated.dcm"
    subprocess.run(["dcmconv", "+td", example("CT_small.dcm"), deflated], check=True, timeout=60)
    with listening(tmp_path / "site", Dicom(limits=Limits(inflated=most))) as running:
        said = dcmtk("storescu", running, "-R", "-xd", str(deflated))
        if 0 < most < 40_000:
            running.wait_for_status("0xA701")
            assert running.files_with_content() == []
            return
        assert said.startswith("exit 0"), said  # where it is not taken, storescu inflates it
        (event,) = running.stored
        assert (event.instance.transfer_syntax_uid == DEFLATED) is bool(most)
        stored = running.root / event.instance.path
        pixels = pydicom.dcmread(example("CT_small.dcm")).PixelData
        assert pydicom.dcmread(stored).PixelData == pixels
        assert describe(stored, (), 64)["Modality"] == "CT"


@needs_dcmtk
def test_a_file_that_is_sent_twice_is_stored_once(running: Running) -> None:
    for _ in range(2):
        assert dcmtk("storescu", running, "-R", example("CT_small.dcm")).startswith("exit 0")
    assert len(running.stored) == 1
    assert len(running.files_with_content()) == 1


def test_pynetdicom_stores_echoes_and_releases(running: Running) -> None:
    data_set = pydicom.dcmread(example("CT_small.dcm"))
    ae = RequestingEntity("PYNETDICOM")
    contexts = [build_context(Verification), build_context(data_set.SOPClassUID)]
    association = ae.associate("127.0.0.1", running.port, contexts, ae_title="LIGHTBOX_STAT")
    assert association.is_established
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(data_set, priority=1).Status == 0
    association.release()
    assert association.is_released
    (event,) = running.stored
    assert (event.arrival.called_ae, event.arrival.priority) == ("LIGHTBOX_STAT", 1)


def test_many_senders_at_once_lose_nothing(running: Running) -> None:
    data_set = pydicom.dcmread(example("CT_small.dcm"))
    names = [f"1.2.3.{i}" for i in range(120)]

    def send(mine: list[str]) -> list[int]:
        with RawPeer(running.port) as peer:
            peer.associate()
            tail = raw.implicit(0x7FE00010, data_set.PixelData)
            return [peer.store(raw.data_set(uid, tail=tail), instance=uid) for uid in mine]

    with ThreadPoolExecutor(8) as senders:
        statuses = [
            s for found in senders.map(send, [names[i::8] for i in range(8)]) for s in found
        ]
    assert statuses == [0] * len(names)
    assert {e.instance.sop_instance_uid for e in running.stored} == set(names)
    assert len(running.files_with_content()) == len(names)


# ---- everything there is


STATED = {0x0000, 0x0122, 0xA900, 0xC000}


def sendable(path: Path) -> tuple[str, str, str, bytes]:
    """Return SOP class, instance UID, transfer syntax and data set of a file as it stands."""
    whole = path.read_bytes()
    if whole[128:132] != b"DICM":
        return raw.CT_IMAGE, raw.INSTANCE, raw.IMPLICIT, whole
    with path.open("rb") as file:
        read_preamble(file, force=False)
        meta = _read_file_meta_info(file)
        start = file.tell()
    return (
        str(meta.get("MediaStorageSOPClassUID") or raw.CT_IMAGE),
        str(meta.get("MediaStorageSOPInstanceUID") or raw.INSTANCE),
        str(meta.get("TransferSyntaxUID") or raw.IMPLICIT),
        whole[start:],
    )


@needs_data
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_files_of_all_kinds_are_accepted_or_refused_with_a_stated_status(
    running: Running,
) -> None:
    statuses: dict[Path, int] = {}
    contexts_refused = set()
    for path in sorted(p for p in DATA.rglob("*") if p.is_file()):
        sop_class, instance, syntax, data = sendable(path)
        with RawPeer(running.port) as peer:
            context = raw.context_item(3, sop_class, syntax)
            peer.send(raw.associate_rq(context))
            kind, body = peer.read()
            assert kind == 2, path
            if b"\x21\x00\x00" in body and body[body.index(b"\x21\x00\x00") + 6] != 0:
                contexts_refused.add(path)
                continue
            statuses[path] = peer.store(data, instance=instance, sop_class=sop_class)
            assert statuses[path] in STATED, path
            peer.release()
    good = {p for p, status in statuses.items() if status == 0}
    assert len(good) > 0.85 * len(statuses)
    for path in statuses.keys() - good:
        with pytest.raises((InvalidDicomError, AssertionError, AttributeError)):
            assert_has_uids(path)
    for path in contexts_refused:
        sop_class, _, syntax, _ = sendable(path)
        assert syntax not in TRANSFER_SYNTAXES or not is_storage(sop_class), path
    for event in running.stored:
        with suppress(UnreadableError):  # odd ones: received whole, and broken inside
            found = describe(running.root / event.instance.path, ("PatientName", "PatientID"), 64)
            assert not {"PatientName", "PatientID"} & found.keys()
    kept = {e.instance.sha256 for e in running.stored}
    assert {hashlib.sha256(sendable(p)[3]).hexdigest() for p in good} == kept
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.echo() == 0


def assert_has_uids(path: Path) -> None:
    """Fail where pydicom, too, finds no usable UIDs, or others than the file's meta names."""
    found = pydicom.dcmread(path, stop_before_pixels=True)
    meta = found.file_meta
    for uid in (found.StudyInstanceUID, found.SeriesInstanceUID):
        assert is_uid(str(uid))
    assert found.SOPClassUID == meta.MediaStorageSOPClassUID
    assert found.SOPInstanceUID == meta.MediaStorageSOPInstanceUID


# ---- TLS


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One authority, a server and a client signed by it, and a stranger signed by itself."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60
        )

    for name in ("ca", "stranger"):
        openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
        )
    for name in ("server", "client"):
        openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
        )
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            f"{name}.pem",
        )
    return folder


@pytest.fixture
def secure(certificates: Path, tmp_path: Path) -> Iterator[tuple[Running, int]]:
    port = free_port()
    tls = Tls(
        port=port,
        certificate=str(certificates / "server.pem"),
        key=str(certificates / "server.key"),
        ca=str(certificates / "ca.pem"),
    )
    with listening(tmp_path / "data", Dicom(tls=tls)) as it:
        yield it, port


def over_tls(port: int, folder: Path, who: str, *arguments: str) -> int:
    """Run storescu over TLS as ``who``; return its exit code."""
    files = ["+tls", str(folder / f"{who}.key"), str(folder / f"{who}.pem")]
    trust = ["+cf", str(folder / "ca.pem")]
    command = ["storescu", "-aec", "LIGHTBOX", *files, *trust, *arguments, "127.0.0.1", str(port)]
    done = subprocess.run(
        [*command, example("CT_small.dcm")], capture_output=True, timeout=60, check=False
    )
    return done.returncode


@needs_dcmtk
@pytest.mark.parametrize("profile", ["+py", "+px"])
def test_storescu_stores_over_tls(
    secure: tuple[Running, int], certificates: Path, profile: str
) -> None:
    running, port = secure
    assert over_tls(port, certificates, "client", profile) == 0
    assert len(running.stored) == 1


@needs_dcmtk
def test_a_stranger_is_refused_over_tls(secure: tuple[Running, int], certificates: Path) -> None:
    running, port = secure
    assert over_tls(port, certificates, "stranger", "+py") != 0
    assert running.stored == []


@pytest.fixture
def warnings_logged() -> Iterator[list[EventDict]]:
    """Return the lines that are logged from now on; the other tests hear none."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with capture_logs() as lines:
        yield lines
    structlog.configure(wrapper_class=before)


@needs_dcmtk
def test_a_peer_whose_certificate_does_not_name_its_ae_title_is_refused_and_the_log_names_both(
    certificates: Path, tmp_path: Path, warnings_logged: list[EventDict]
) -> None:
    port = free_port()
    tls = Tls(
        port=port,
        certificate=str(certificates / "server.pem"),
        key=str(certificates / "server.key"),
        ca=str(certificates / "ca.pem"),
        bind_ae=True,
    )
    with listening(tmp_path / "data", Dicom(tls=tls)) as it:
        assert over_tls(port, certificates, "client", "+py", "-aet", "CT1") != 0
        it.wait_for_status("rejected")
        assert it.stored == []
        assert over_tls(port, certificates, "client", "+py", "-aet", "client") == 0
        assert len(it.stored) == 1
    (line,) = [each for each in warnings_logged if each["event"] == "association rejected"]
    assert (line["reason"], line["calling_ae"]) == ("calling_ae", "CT1")
    assert line["certificate"] == "client"


@needs_dcmtk
def test_silent_and_plain_peers_on_the_tls_port_delay_nobody(
    secure: tuple[Running, int], certificates: Path
) -> None:
    running, port = secure
    silent = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(20)]
    silent[0].sendall(raw.associate_rq(*raw.DEFAULT_CONTEXTS))
    assert over_tls(port, certificates, "client", "+py") == 0
    for connection in silent:
        connection.close()
    assert len(running.stored) == 1
