"""The doctor before real peers: our archive, Orthanc, DCMTK, a closed port, a silent one."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from lightbox.app.doorbell import Doorbell
from lightbox.app.processes.notices import Notices
from lightbox.cli.main import run
from lightbox.settings import Dicom, Settings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage
from lightbox.tools.archive import Archive
from lightbox.tools.doctor_checks.destinations import there
from lightbox.tools.doctor_checks.finding import Finding
from lightbox.tools.doctor_checks.service import condition, service
from lightbox.tools.doctor_checks.way_back import listener, way_back
from lightbox.tools.orthanc import Orthanc, free_port, is_installed
from listening import listening
from site_of_tests import Site

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FAR = "192.0.2.7"  # TEST-NET-1: an address of no machine

needs_dcmtk = pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK is not installed")
needs_orthanc = pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")


def site(port: int = 104, ae_title: str = "ARCHIVE", **given: Any) -> Settings:
    pacs = {"name": "pacs", "ae_title": ae_title, "port": port} | given
    return Settings.model_validate({"destinations": [pacs]})


def asked(settings: Settings, answer_seconds: float = 10.0) -> list[Finding]:
    return list(there(settings.destinations[0], settings, answer_seconds))


def the_one(settings: Settings, answer_seconds: float = 10.0) -> Finding:
    (only,) = asked(settings, answer_seconds)
    return only


# ---------------------------------------------------------------------------------------- there
def test_an_archive_that_takes_everything_is_well(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        found = the_one(site(archive.dicom_port))
    assert found.verdict == "ok"
    assert "answers C-ECHO in" in found.words
    for kind in ("Secondary Capture", "Segmentation", "Enhanced SR", "Parametric Map"):
        assert kind in found.words


def test_what_an_archive_does_not_take_is_a_note(tmp_path: Path) -> None:
    with Archive(tmp_path, refuses=(SEGMENTATION,)) as archive:
        found = the_one(site(archive.dicom_port))
        without = the_one(site(archive.dicom_port, kinds=["sc", "sr"]))
    assert found.verdict == "note"
    assert found.words.endswith("does not take Segmentation Storage")
    assert '"seg"' in found.mend
    assert without.verdict == "ok"


def test_an_archive_that_takes_no_picture_is_wrong(tmp_path: Path) -> None:
    with Archive(tmp_path, refuses=(SECONDARY_CAPTURE, SEGMENTATION)) as archive:
        found = the_one(site(archive.dicom_port))
    assert found.verdict == "WRONG"
    assert "Secondary Capture Image Storage and Segmentation Storage" in found.words


def test_storage_commitment_that_is_not_offered_is_a_note(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        found = asked(site(archive.dicom_port, commitment=True))
    assert [one.verdict for one in found] == ["ok", "note"]
    assert "does not offer storage commitment" in found[1].words


def test_a_wrong_called_ae_title_is_explained(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        found = the_one(site(archive.dicom_port, "ARCHVIE"))
    assert not found.ok
    assert "wrong called AE title: the node at this address does not answer to" in found.words
    assert "ARCHVIE" in found.words
    assert "letter by letter" in found.mend


def test_a_node_that_does_not_know_us_is_explained(tmp_path: Path) -> None:
    with Archive(tmp_path, knows=("SOMEBODY",)) as archive:
        found = the_one(site(archive.dicom_port))
    assert "calling AE title not known: the node does not know our AE title LIGHTBOX" in found.words
    assert found.mend == "enter our AE title LIGHTBOX, address and port at the PACS"


def test_a_closed_port_is_explained() -> None:
    found = the_one(site(free_port()))
    assert "connection refused: nothing listens on this port, or a firewall" in found.words


def test_an_unknown_host_name_is_explained() -> None:
    found = the_one(site(104, host="pacs.invalid"))
    assert "ARCHIVE@pacs.invalid:104: host name unknown" in found.words
    assert "DNS" in found.mend


def test_a_port_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = the_one(site(silent.getsockname()[1]), 0.3)
    assert "no answer in time" in found.words


def test_a_web_server_is_not_taken_for_a_pacs() -> None:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as web:
        threading.Thread(target=web.serve_forever).start()
        found = the_one(site(web.server_address[1]), 1.0)
        on_the_web = the_one(
            site(ae_title="", stow=f"http://127.0.0.1:{web.server_address[1]}/dicom-web"), 1.0
        )
        web.shutdown()
    assert not found.ok
    assert not on_the_web.ok


@needs_dcmtk
def test_storescp_that_refuses_and_one_that_takes_pictures_only(tmp_path: Path) -> None:
    profile = tmp_path / "storescp.cfg"
    profile.write_text(
        "[[TransferSyntaxes]]\n[Plain]\nTransferSyntax1 = LittleEndianImplicit\n"
        "[[PresentationContexts]]\n[Pictures]\n"
        "PresentationContext1 = VerificationSOPClass\\Plain\n"
        "PresentationContext2 = SecondaryCaptureImageStorage\\Plain\n"
        "[[Profiles]]\n[Default]\nPresentationContexts = Pictures\n"
    )
    with storescp(tmp_path, "--refuse") as port:
        refused = the_one(site(port))
    with storescp(tmp_path, "-xf", str(profile), "Default") as port:
        pictures = the_one(site(port))
    assert "association rejected, no reason given" in refused.words
    assert pictures.verdict == "note"
    assert "Segmentation Storage, Enhanced SR Storage and Parametric Map Storage" in pictures.words


@needs_orthanc
def test_orthanc_is_well_both_by_dimse_and_by_dicomweb(tmp_path: Path) -> None:
    with Orthanc(tmp_path / "orthanc") as orthanc:
        assert the_one(site(orthanc.dicom_port, "ORTHANC")).verdict == "ok"
        wrong = the_one(site(orthanc.dicom_port, "ORTHNAC"))
        assert "wrong called AE title" in wrong.words
        if orthanc.stow_url:
            assert the_one(site(ae_title="", stow=orthanc.stow_url)).verdict == "ok"
            elsewhere = the_one(site(ae_title="", stow=f"{orthanc.http_url}/nothing"))
            assert "HTTP 404" in elsewhere.words


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    port = free_port()
    command = ["storescp", *options, "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        pause = threading.Event()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            pause.wait(0.05)
        yield port
        process.terminate()


# -------------------------------------------------------------------------------------- way back
@contextmanager
def us(root: Path, **given: Any) -> Iterator[Dicom]:
    """Run our own listener as the receive role does, ready on its doorbell."""
    dicom = Dicom.model_validate(given)
    with listening(root, dicom) as running:
        bell = Doorbell(root, "receive-ready")
        try:
            yield dicom.model_copy(update={"port": running.port})
        finally:
            bell.close()


def back(dicom: Dicom, root: Path, host: str = "127.0.0.1") -> Finding:
    given = site(host=host).destinations[0]
    return way_back(given, dicom, root)


def test_a_destination_that_calls_us_is_let_in(tmp_path: Path) -> None:
    with us(tmp_path, accept_calling=["ARCHIVE@127.0.0.1"]) as dicom:
        found = back(dicom, tmp_path)
        (own,) = listener(dicom, tmp_path)
    assert found.ok
    assert found.words.endswith("C-ECHO under its name answered")
    assert own.ok
    assert "only those in dicom.accept_calling" in own.words


def test_a_caller_that_is_not_listed_is_named_with_the_entry_to_add(tmp_path: Path) -> None:
    with us(tmp_path, accept_calling=["OTHER"]) as dicom:
        found = back(dicom, tmp_path)
    assert not found.ok
    assert "ARCHIVE is not in dicom.accept_calling" in found.words
    assert '"ARCHIVE@127.0.0.1"' in found.mend


def test_a_caller_that_is_listed_at_another_address_is_named(tmp_path: Path) -> None:
    with us(tmp_path, accept_calling=["ARCHIVE@10.0.0.1"]) as dicom:
        found = back(dicom, tmp_path)
    assert not found.ok
    assert "lets ARCHIVE in from 10.0.0.1, its host is 127.0.0.1" in found.words


def test_a_far_caller_is_judged_by_its_own_address(tmp_path: Path) -> None:
    with us(tmp_path, accept_calling=[f"ARCHIVE@{FAR}"]) as dicom:
        everywhere = dicom.model_copy(update={"host": "0.0.0.0"})
        assert "from there only" in back(everywhere, tmp_path, FAR).words
        here_only = back(dicom, tmp_path, FAR)
    assert not here_only.ok
    assert f"we listen on 127.0.0.1 only: pacs ({FAR}) cannot reach us" in here_only.words


def test_a_far_caller_is_told_the_port_where_tls_is_all_that_guards_us(tmp_path: Path) -> None:
    dicom = Dicom.model_validate({"host": "0.0.0.0", "tls": {"certificate": "cert.pem"}})
    assert back(dicom, tmp_path, FAR).words.endswith("by TLS on port 2762 only")


def test_an_own_ae_title_that_we_do_not_answer_to_is_wrong(tmp_path: Path) -> None:
    with us(tmp_path, ae_title="AI", accept_called=["LIGHTBOX"]) as dicom:
        found = back(dicom, tmp_path)
        (own,) = listener(dicom, tmp_path)
    assert "wrong called AE title: AI is our own, but we answer only to LIGHTBOX" in found.words
    assert own.mend == 'add "AI" to dicom.accept_called'


def test_a_configuration_newer_than_the_service_is_noticed(tmp_path: Path) -> None:
    with us(tmp_path, accept_calling=["OTHER"]) as dicom:
        newer = dicom.model_copy(update={"accept_calling": ("ARCHIVE",)})
        found = back(newer, tmp_path)
    assert not found.ok
    assert "the running service says: calling AE title not known" in found.words


def test_without_a_service_the_configuration_is_judged(tmp_path: Path) -> None:
    found = back(Dicom(port=free_port()), tmp_path)
    assert found.ok
    assert "the service does not run" in found.words


def test_a_stranger_on_our_port_is_noticed(tmp_path: Path) -> None:
    with Archive(tmp_path) as stranger:
        (only,) = listener(Dicom(port=stranger.dicom_port), tmp_path)
    assert only.words == f"another program answers on port {stranger.dicom_port}"


# --------------------------------------------------------------------------------------- service
def test_a_service_that_runs_in_part_is_wrong(tmp_path: Path) -> None:
    (none,) = service(Settings(), tmp_path, FakeClock())
    assert none.words == f"does not run on {tmp_path}"
    bell = Doorbell(tmp_path, "receive-ready")
    (part,) = service(Settings(), tmp_path, FakeClock())
    bell.close()
    assert part.words == "control and work not up, receive is"


def test_a_whole_site_is_well_until_its_archive_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Archive(tmp_path / "archive") as archive:
        running = Site(tmp_path, archive)
        running.start()
        try:
            well = run(["-c", str(running.config), "doctor", "--json"])
            printed = capsys.readouterr()
            assert printed.out, printed.err
            said = json.loads(printed.out)
            assert (well, said["ok"]) == (0, True), said
            names = [check["name"] for check in said["checks"]]
            assert {"service", "readiness", "listener", "destination archive", "archive to us",
                    "disk", "data_dir", "ledger", "clock", "dead letters", "models", "device",
                    "validation"} <= set(names)  # fmt: skip
            archive.stop()
            assert run(["-c", str(running.config), "doctor"]) == 1
            lines = capsys.readouterr().out.splitlines()
            assert [line.split("\t")[1] for line in lines if line.startswith("WRONG")] == [
                "destination archive"
            ]
        finally:
            running.service.stop()
        assert running.prove().ok


def test_what_the_worker_does_without_is_wrong(tmp_path: Path) -> None:
    clock = FakeClock()
    assert not list(condition(tmp_path, clock))
    notices = Notices(tmp_path, FolderStorage(tmp_path, Files()), clock)
    notices.say("out_of_service", "chest_xray", "answered with NaN, 3 times in a row")
    (finding,) = condition(tmp_path, clock)
    assert not finding.ok
    assert finding.words.startswith("model chest_xray is out of service: answered with NaN")
