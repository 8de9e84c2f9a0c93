"""The doctor before peers that are strict: TLS on one side only, AE titles of Orthanc and DCMTK."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builders import a_job, a_result, a_stored, a_written, an_instance
from certificates import Authority
from fakes.clock import FakeClock
from lightbox.domain.events import DeliveryDelayed, JobPlaced, NotTaken
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.settings import Settings
from lightbox.tools.doctor_checks import records
from lightbox.tools.doctor_checks.destinations import there
from lightbox.tools.doctor_checks.finding import Finding
from lightbox.tools.orthanc import Orthanc, free_port, is_installed

needs_dcmtk = pytest.mark.skipif(
    shutil.which("dcmqrscp") is None or shutil.which("openssl") is None,
    reason="DCMTK or openssl is not installed",
)
needs_orthanc = pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")


def site(port: int, **given: Any) -> Settings:
    pacs = {"name": "pacs", "ae_title": "PACS", "port": port} | given
    return Settings.model_validate({"destinations": [pacs]})


def asked(settings: Settings, seconds: float = 5.0) -> list[Finding]:
    return list(there(settings.destinations[0], settings, seconds))


@contextmanager
def program(*command: object) -> Iterator[int]:
    """Run a DCMTK server; its port is its last argument."""
    port = free_port()
    arguments = [*map(str, command), str(port)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        pause = threading.Event()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert run.poll() is None
            pause.wait(0.05)
        yield port
        run.terminate()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@needs_dcmtk
def test_tls_on_one_side_only_is_explained_whichever_side_it_is(
    tmp_path: Path, authority: Authority
) -> None:
    server, ours = authority.sign("pacs", "IP:127.0.0.1"), authority.sign("lightbox")
    tls = {"ca": str(authority.ca), "certificate": str(ours.certificate), "key": str(ours.key)}
    secure = ("+tls", server.key, server.certificate, "+cf", authority.ca)
    with program("storescp", *secure, "-od", tmp_path) as port:
        (well,) = asked(site(port, tls=tls))
        (plain,) = asked(site(port))
        (nobody,) = asked(site(port, tls={"ca": str(authority.ca)}))
    with program("storescp", "-od", tmp_path) as port:
        (encrypted,) = asked(site(port, tls=tls))
    assert well.ok
    assert "we call it in plain, it answers TLS only" in plain.words
    assert "`tls.ca`" in plain.mend
    assert "the two do not know the same authority" in nobody.words
    assert "we call it by TLS, what listens there is plain" in encrypted.words


@needs_dcmtk
def test_the_title_that_is_wrong_is_named_as_dcmtk_says_it(tmp_path: Path) -> None:
    folder = tmp_path / "PACS"
    folder.mkdir()
    configuration = tmp_path / "dcmqrscp.cfg"
    configuration.write_text(
        "MaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nHostTable END\n"
        f"VendorTable BEGIN\nVendorTable END\nAETable BEGIN\nPACS {folder} RW (9, 1024mb) ANY\n"
        "AETable END\n"
    )
    with program("dcmqrscp", "-c", configuration) as port:
        (known,) = asked(site(port))
        (unknown,) = asked(site(port, ae_title="ARCHIVE"))
    assert "answers C-ECHO" in known.words
    assert "wrong called AE title: the node at this address does not answer to" in unknown.words


@needs_orthanc
def test_a_strict_orthanc_that_does_not_know_us_is_told_from_one_that_does(
    tmp_path: Path,
) -> None:
    strict = {"DicomAlwaysAllowStore": False, "DicomAlwaysAllowEcho": False}
    known = {"LIGHTBOX": ("127.0.0.1", 11112)}
    with Orthanc(tmp_path / "o", "PACS", known, {**strict, "StrictAetComparison": True}) as orthanc:
        findings = asked(site(orthanc.dicom_port, commitment=True))
        (stranger,) = asked(site(orthanc.dicom_port, calling_ae="LIGHTBOX2"))
        (wrong,) = asked(site(orthanc.dicom_port, ae_title="pacs"))
    assert [one.verdict for one in findings] == ["ok"], findings  # it offers commitment as well
    assert not stranger.ok
    assert "LIGHTBOX2" in f"{stranger.words} {stranger.mend}"
    assert "wrong called AE title" in wrong.words


def test_a_firewall_that_drops_is_told_from_a_port_that_is_closed() -> None:
    with socket.socket() as full:  # its queue is full: further callers get no answer at all
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        callers = [socket.socket() for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        (dropped,) = asked(site(port, connect_within=0.5))
        for caller in callers:
            caller.close()
    (closed,) = asked(site(free_port()))
    assert "a firewall drops what we send, or no machine has this address" in dropped.words
    assert "nothing listens on this port, or a firewall refuses for it" in closed.words


def test_what_waits_and_what_was_not_taken_is_said_with_time_and_class(tmp_path: Path) -> None:
    clock = FakeClock()
    ledger = SqliteLedger(tmp_path / "ledger", "control", clock)
    job = a_job(an_instance())
    of = (job.study_instance_uid, job.job_id)
    uid = a_result(job).sop_instance_uid
    refusal = "pacs (PACS@host:104): this destination does not take Segmentation Storage: 0x0122"
    ledger.record(
        a_stored(an_instance()),
        JobPlaced(job),
        a_written(job),
        NotTaken(*of, "1.2.3", "pacs", refusal),
        NotTaken(*of, "1.2.4", "pacs", "the configuration does not send this here"),
        DeliveryDelayed(
            *of, uid, "pacs", 0, "waits for its hours", clock.now() + 60.0, is_tried=False
        ),
    )
    ledger.close()
    settings = site(104)
    (refused,) = records.refused(settings, tmp_path / "ledger")
    assert refused.verdict == "note"
    assert refused.words == (
        "did not take Segmentation Storage (1 lately); its other results went out"
    )
    (waits,) = records.dead_letters(settings, tmp_path / "ledger")
    assert waits.verdict == "note"
    assert "1 results wait, the next until 20" in waits.words
    assert waits.words.endswith("most often: pacs: waits for its hours")
