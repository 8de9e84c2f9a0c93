"""One round of ``lightbox bench receive``: so many senders at once, each a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lightbox.domain.errors import UsageError
from lightbox.tools.bench import sender as bench_sender
from lightbox.tools.bench.receivers import Receiver
from lightbox.tools.bench.sender import Errand, uid_of

_SEND_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Template:
    """An encoded data set whose SOP Instance UID is to be replaced."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Load:
    """What one round sends.

    Attributes
    ----------
    senders, instances : int
        Associations at the same time, instances of all of them.
    nagle : bool
        Whether senders write and acknowledge as DCMTK does by default.
    """

    template: Template
    senders: int
    instances: int
    nagle: bool = False


def template_of(path: Path, shape: tuple[int, int]) -> Template:
    """Write a CT image's data set with fixed pixels to ``path``; nobody looks at them."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = uid_of(0, 0)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.Modality = "BENCH", "Bench", "CT"
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.StudyID = None
    dataset.ReferringPhysicianName = dataset.PatientBirthDate = dataset.PatientSex = None
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = bytes(2 * shape[0] * shape[1])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with path.open("wb") as file:
        dcmwrite(file, dataset, implicit_vr=False, little_endian=True)
    return Template(path, str(CTImageStorage), uid_of(0, 0))


def one_round(receiver: Receiver, load: Load, numbers: Iterator[int], waits: list[float]) -> float:
    """Send one round's instances; return how many the receiver stored per second.

    Parameters
    ----------
    numbers : iterator of int
        A number of its own for each sender: its UIDs are made of it.
    waits : list of float
        Gets how long each response took, in seconds.

    Raises
    ------
    UsageError
        If not all of them were stored.
    """
    share = max(1, load.instances // load.senders)
    processes = [_sender(receiver, load, share, next(numbers)) for _ in range(load.senders)]
    try:
        for process in processes:
            _expect(process, "ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [
            json.loads(process.communicate(timeout=_SEND_SECONDS)[0]) for process in processes
        ]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
    stored = sum(int(answer["stored"]) for answer in answers)
    if stored != share * load.senders:
        why = next((a["error"] for a in answers if a["error"]), "it answered with a failure")
        raise UsageError(receiver.ae_title, f"stored {stored} of {share * load.senders}: {why}")
    waits.extend(s for answer in answers for s in answer["seconds"])
    wall = max(answer["last"] for answer in answers) - min(answer["first"] for answer in answers)
    return stored / float(wall)


def _sender(receiver: Receiver, load: Load, copies: int, number: int) -> subprocess.Popen[str]:
    errand = Errand(
        port=receiver.port,
        called=receiver.ae_title,
        data_set=load.template.path,
        sop_class_uid=load.template.sop_class_uid,
        sop_instance_uid=load.template.sop_instance_uid,
        count=copies,
        number=number,
        nagle=load.nagle,
    )
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-m", bench_sender.__name__, *errand.arguments()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    if said != word:
        raise UsageError("sender", said or "ended without a word", "is the receiver there?")
