"""The senders that hospitals have, against the real listener: DCMTK and pynetdicom."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pydicom.data
import pytest

from listening import Running, listening

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
