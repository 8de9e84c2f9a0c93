"""``lightbox send`` and ``echo`` against our archive, Orthanc and DCMTK's storescp."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_result_file
from lightbox.cli.main import run
from lightbox.deliver.association import Peer
from lightbox.deliver.cstore import CStore
from lightbox.domain.result import ResultKind
from lightbox.settings import DestinationSettings
from lightbox.tools.archive import Archive, Do, Reply
from lightbox.tools.orthanc import Orthanc, free_port, is_installed
from lightbox.tools.send import Sent, send

DATA = Path("../shared/data/dicom")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the DICOM files of ../shared/data")
needs_dcmtk = pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK is not installed")
needs_orthanc = pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive") as one:
        yield one


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for kind in tuple(ResultKind)[:4]:
        a_result_file(tmp_path / "files", "1", kind)
    return tmp_path / "files"


def peer(port: int, called: str = "ARCHIVE") -> Peer:
    return Peer("node", called, "127.0.0.1", port, "ME")


def to(archive: Archive) -> list[str]:
    return ["--to", f"127.0.0.1:{archive.dicom_port}", "--called", archive.ae_title]


def test_files_are_sent_over_one_association(archive: Archive, files: Path) -> None:
    shown: list[Sent] = []
    report = send([files], peer(archive.dicom_port), shown.append)
    assert report.ok
    assert report.stored == 4
    assert list(report.files) == shown
    assert archive.associations == 1
    assert [s.sop_instance_uid for s in shown] == archive.received


def test_a_refused_and_a_lost_instance_have_a_line_and_the_others_go_on(
    archive: Archive, files: Path
) -> None:
    (files / "letter.txt").write_text("no DICOM")
    archive.script(Reply(0xA700, comment="disk full"), Reply(do=Do.ABORT))
    report = send([files], peer(archive.dicom_port))
    assert [sent.stored for sent in report.files] == [False, False, False, True, True]
    letter, refused, lost = report.files[:3]
    assert "not a DICOM file" in letter.detail
    assert (refused.status, refused.detail) == (0xA700, "Refused: out of resources disk full")
    assert lost.status is None
    assert "association aborted" in lost.detail


def test_when_the_peer_is_gone_each_file_that_is_left_has_a_line(
    archive: Archive, files: Path
) -> None:
    shown: list[Sent] = []

    def stop_after_the_first(sent: Sent) -> None:
        if not shown:
            archive.stop()
        shown.append(sent)

    report = send([files], peer(archive.dicom_port), stop_after_the_first)
    assert [sent.stored for sent in report.files] == [True, False, False, False]
    assert "connection refused" in report.files[-1].detail


def test_a_file_that_vanishes_has_a_line_and_the_others_go_on(
    archive: Archive, files: Path
) -> None:
    first, second, *_ = sorted((files / "results").iterdir())

    def delete_the_second(sent: Sent) -> None:
        if sent.file == first:
            second.unlink()

    report = send([files], peer(archive.dicom_port), delete_the_second)
    assert [sent.stored for sent in report.files] == [True, False, True, True]
    assert "No such file" in report.files[1].detail


def test_a_refused_context_is_said_of_its_file(tmp_path: Path, files: Path) -> None:
    with Archive(tmp_path / "a", refuses=("1.2.840.10008.5.1.4.1.1.7",)) as archive:
        report = send([files], peer(archive.dicom_port))
    assert report.stored == 3
    assert [s.detail for s in report.files if not s.stored] == ["presentation context refused"]


@needs_data
def test_every_transfer_syntax_is_sent_as_it_is(archive: Archive) -> None:
    report = send([DATA / "SC"], peer(archive.dicom_port))
    (without_uid,) = [s for s in report.files if not s.stored]
    assert without_uid.file.name == "JLSL_RGB_ILV0.dcm"
    assert "SOP instance" in without_uid.detail


@needs_data
def test_old_files_without_a_header_are_sent_too(archive: Archive) -> None:
    names = ("odd/ExplVR_LitEndNoMeta.dcm", "RT/rtstruct.dcm")
    report = send([DATA / name for name in names], peer(archive.dicom_port))
    assert [s for s in report.files if not s.stored] == []


@needs_data
@needs_orthanc
def test_a_deflated_file_of_odd_length_is_taken_by_orthanc(tmp_path: Path) -> None:
    with Orthanc(tmp_path) as orthanc:
        report = send([DATA / "SC" / "image_dfl.dcm"], peer(orthanc.dicom_port, "ORTHANC"))
        assert report.ok
        (stored,) = orthanc.instances()
        assert stored.sop_instance_uid == report.files[0].sop_instance_uid
        assert orthanc.file(stored.sop_instance_uid)


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    port, folder = free_port(), tmp_path / "storescp"
    folder.mkdir()
    command = ["storescp", "-v", "-aet", "STORESCP", "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        pause = threading.Event()
        while subprocess.run(
            ["echoscu", "127.0.0.1", str(port)], check=False, capture_output=True
        ).returncode:
            assert process.poll() is None
            pause.wait(0.05)
        yield port, folder
        process.terminate()


@needs_dcmtk
def test_storescp_takes_all_results_of_a_study(tmp_path: Path, storescp: tuple[int, Path]) -> None:
    port, folder = storescp
    settings = DestinationSettings(name="pacs", ae_title="STORESCP", port=port)
    destination = CStore(settings, "LIGHTBOX", tmp_path)
    destination.echo()
    for kind in ResultKind:
        assert destination.send(a_result_file(tmp_path, kind=kind)) == ""
    destination.close()
    assert len(list(folder.iterdir())) == len(ResultKind)


def test_the_command_sends_and_says_how_many(
    archive: Archive, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["send", str(files), *to(archive)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"4 of 4 stored at ARCHIVE@127.0.0.1:{archive.dicom_port} in ")
    assert err == ""


def test_the_command_prints_json_and_exits_1_if_something_is_missing(
    archive: Archive, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "letter.txt").write_text("no DICOM")
    assert run(["send", str(files), *to(archive), "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["ok"], told["stored"], len(told["files"])) == (False, 4, 5)
    assert set(told["files"][0]) == {"file", "sop_instance_uid", "status", "stored", "detail"}
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["send", "README.md"], ["echo"]])
def test_a_service_that_does_not_run_is_one_line_and_exit_1(
    command: list[str],
    files: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIGHTBOX__DICOM__PORT", str(free_port()))
    arguments = ["send", str(files)] if command[0] == "send" else command
    assert run(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "connection refused" in err


def test_an_interruption_ends_the_command_at_once_even_if_the_peer_is_silent(
    archive: Archive, files: Path
) -> None:
    archive.script(Reply(do=Do.SILENT))
    command = [sys.executable, "-m", "lightbox", "send", str(files), *to(archive)]

    def as_in_the_foreground() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it

    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_in_the_foreground,  # noqa: PLW1509  # between fork and exec it only restores a signal
    ) as process:
        assert archive.wait_for(1, 30.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(10.0) == 130
        assert process.stderr is not None
        assert process.stderr.read().strip() == "lightbox: interrupted"


def test_wrong_addresses_are_wrong_use(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["send", str(files), "--to", "nowhere"]) == 2
    assert run(["echo", "nobody"]) == 2
    assert run(["send"]) == 2
    assert "is not HOST:PORT" in capsys.readouterr().err


def test_echo_answers_for_each_destination(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = tmp_path / "lightbox.toml"
    configuration.write_text(
        f"""
        [[destinations]]
        name = "pacs"
        ae_title = "ARCHIVE"
        port = {archive.dicom_port}
        [[destinations]]
        name = "other"
        ae_title = "WRONG"
        port = {archive.dicom_port}
        """
    )
    assert run(["-c", str(configuration), "echo", "pacs"]) == 0
    assert "pacs (ARCHIVE@127.0.0.1:" in capsys.readouterr().out
    assert run(["-c", str(configuration), "echo", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["ok"]) for row in rows] == [("pacs", True), ("other", False)]
    assert rows[1]["reason"] == "wrong called AE title"
    assert run(["echo", f"ARCHIVE@127.0.0.1:{archive.dicom_port}"]) == 0
