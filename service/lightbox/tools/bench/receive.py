"""``lightbox bench receive``: our listener beside storescp (DCMTK) and Orthanc.

The receivers run at the same time and are fed in turn by the same senders. They do not promise the
same: ours answers success when file, folder and ledger row are on disk; storescp writes a file and
syncs nothing; Orthanc writes a file and its index.
"""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lightbox.app.clock import SystemClock
from lightbox.domain.errors import UsageError
from lightbox.tools.bench import sender as bench_sender
from lightbox.tools.bench.report import OURS, Case, interleaved
from lightbox.tools.bench.sender import Errand, uid_of
from lightbox.tools.orthanc import Orthanc, free_port
from lightbox.tools.orthanc import is_installed as orthanc_is_installed

SIZES: Mapping[str, tuple[int, int]] = {"small": (16, 16), "512 KB": (512, 512)}
"""Name → rows and columns of 16 bits; small: 512 bytes of pixels."""

_Started: TypeAlias = AbstractContextManager["Receiver"]
SENDERS = (1, 4)
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SEND_SECONDS = 300.0
_EVERY = 0.05
_NOTES = "ours: file, folder and ledger row synced before the answer; storescp: nothing is synced"


@dataclass(frozen=True, slots=True)
class ReceivePlan:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Interleaved rounds of each size and number of senders.
    instances : int
        Instances of one round, shared out among its senders.
    senders : tuple of int
        Numbers of associations at the same time.
    """

    rounds: int = 3
    instances: int = 100
    senders: tuple[int, ...] = SENDERS


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who listens on loopback."""

    port: int
    ae_title: str


def bench_receive(plan: ReceivePlan) -> list[Case]:
    """Measure instances per second and the response time, for each size and number of senders.

    Raises
    ------
    UsageError
        If a receiver does not start, or does not store what it is sent.
    """
    cases: list[Case] = []
    numbers = count(1)
    with TemporaryDirectory(prefix="lightbox-bench-") as made, ExitStack() as running:
        folder = Path(made)
        receivers = {
            name: running.enter_context(start(folder / name)) for name, start in _known().items()
        }
        for size, shape in SIZES.items():
            template = template_of(folder / f"{shape[0]}.bin", shape)
            for senders in plan.senders:
                waits: dict[str, list[float]] = {name: [] for name in receivers}
                contestants = {
                    name: partial(
                        one_round,
                        receiver,
                        template,
                        (senders, plan.instances),
                        numbers,
                        waits[name],
                    )
                    for name, receiver in receivers.items()
                }
                measured = interleaved(contestants, plan.rounds)
                name = f"{size}, {senders} sender{'s' if senders > 1 else ''}"
                cases.append(measured.case(f"receive {name}", "instances per second", _NOTES))
                cases.append(_response(waits, f"response {name}"))
    return cases


@dataclass(frozen=True, slots=True)
class Template:
    """An encoded data set whose SOP Instance UID is to be replaced."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str


def _known() -> dict[str, Callable[[Path], _Started]]:
    """Return how to start each receiver that is installed."""
    found: dict[str, Callable[[Path], _Started]] = {OURS: _ours}
    if shutil.which("storescp"):
        found["storescp"] = _storescp
    if orthanc_is_installed():
        found["Orthanc"] = _orthanc
    return found


@contextmanager
def _ours(folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    port = free_port()
    config = folder / "lightbox.toml"
    config.write_text(
        f'data_dir = {json.dumps(str(folder / "data"))}\n[storage]\nreserve = "100MB"\n'
        f"[dicom]\nport = {port}\n"
    )
    command = [sys.executable, "-m", "lightbox", "-c", str(config), "serve", "--role", "receive"]
    with _process(command, folder / "log", port):
        yield Receiver(port, "LIGHTBOX")


@contextmanager
def _storescp(folder: Path) -> Iterator[Receiver]:
    folder.mkdir()
    port = free_port()
    command = [
        str(shutil.which("storescp")), "--fork", "-aet", "STORESCP", "-pdu", "131072",
        "-od", str(folder), str(port),
    ]  # fmt: skip
    with _process(command, folder.with_suffix(".log"), port):
        yield Receiver(port, "STORESCP")


@contextmanager
def _orthanc(folder: Path) -> Iterator[Receiver]:
    with Orthanc(folder) as orthanc:
        yield Receiver(orthanc.dicom_port, orthanc.ae_title)


@contextmanager
def _process(command: list[str], log: Path, port: int) -> Iterator[None]:
    """Run a receiver until the block ends; it answers when the block begins."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: S603  # fixed programs
    try:
        _wait_for(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    clock, pause = SystemClock(), threading.Event()
    until = clock.monotonic() + _START_SECONDS
    while process.poll() is None and clock.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        pause.wait(_EVERY)
    said = log.read_text(errors="replace").strip().splitlines()
    raise UsageError(str(process.args), said[-1] if said else "does not answer", f"see {log}")


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


def one_round(
    receiver: Receiver,
    template: Template,
    load: tuple[int, int],
    numbers: Iterator[int],
    waits: list[float],
) -> float:
    """Send one round's instances; return how many the receiver stored per second.

    Parameters
    ----------
    load : tuple of int and int
        Senders at the same time, instances of all of them.
    numbers : iterator of int
        A number of its own for each sender: its UIDs are made of it.
    waits : list of float
        Gets how long each response took, in seconds.

    Raises
    ------
    UsageError
        If not all of them were stored.
    """
    senders, instances = load
    share = max(1, instances // senders)
    processes = [_sender(receiver, template, share, next(numbers)) for _ in range(senders)]
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
    if stored != share * senders:
        why = next((a["error"] for a in answers if a["error"]), "it answered with a failure")
        raise UsageError(receiver.ae_title, f"stored {stored} of {share * senders}: {why}")
    waits.extend(s for answer in answers for s in answer["seconds"])
    wall = max(answer["last"] for answer in answers) - min(answer["first"] for answer in answers)
    return stored / float(wall)


def _sender(
    receiver: Receiver, template: Template, copies: int, number: int
) -> subprocess.Popen[str]:
    errand = Errand(
        port=receiver.port,
        called=receiver.ae_title,
        data_set=template.path,
        sop_class_uid=template.sop_class_uid,
        sop_instance_uid=template.sop_instance_uid,
        count=copies,
        number=number,
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


def _response(waits: Mapping[str, list[float]], name: str) -> Case:
    """Return the median time that a sender waits for the response to one instance."""
    medians = {who: 1e3 * statistics.median(found) for who, found in waits.items()}
    return Case(name, medians.pop(OURS), "ms, median", medians)
