"""``lightbox bench deliver``: from written to stored in an archive, and what waiting results cost.

The four results of a study go through the outbox of the service, its ledger on disk included, over
the association that it keeps. What waits is measured in a process of its own: the resident memory of
the outbox, and of everything that control keeps of the studies behind it.
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lightbox.app.clock import SystemClock
from lightbox.deliver.cstore import CStore
from lightbox.deliver.send import Send
from lightbox.domain.errors import UsageError
from lightbox.domain.events import Delivered, Recorded
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.results import codes
from lightbox.settings import DestinationSettings
from lightbox.tools.archive import Archive
from lightbox.tools.bench.report import OURS, Case, interleaved, percentile
from lightbox.tools.bench.waiting import STUDY_RESULTS, cost_of_waiting
from lightbox.tools.demo.run import an_archive
from lightbox.tools.orthanc import Orthanc

_SECONDS = 60.0
_GOAL_SECONDS = 0.15
_GOAL_BYTES = 200 * 2**20
_CLASSES = {
    ResultKind.SECONDARY_CAPTURE: codes.SECONDARY_CAPTURE,
    ResultKind.SEGMENTATION: codes.SEGMENTATION,
    ResultKind.STRUCTURED_REPORT: codes.ENHANCED_SR,
    ResultKind.PARAMETRIC_MAP: codes.PARAMETRIC_MAP,
}


@dataclass(frozen=True, slots=True)
class DeliverPlan:
    """How much is measured.

    Attributes
    ----------
    studies : int
        Rounds; in each, one study of four results goes each way.
    waiting : int
        Results that wait; 0: leave that out.
    """

    studies: int = 50
    waiting: int = 100_000


def bench_deliver(plan: DeliverPlan) -> list[Case]:
    """Measure.

    Raises
    ------
    UsageError
        If a study is not stored in time.
    """
    return [*_stored(plan.studies), *(_waiting(plan.waiting) if plan.waiting else ())]


def _stored(studies: int) -> Iterator[Case]:
    with TemporaryDirectory(prefix="lightbox-bench-") as made:
        folder = Path(made)
        with an_archive(folder / "archive") as archive, _outbox(folder, archive) as outbox:
            outbox.deliver(_study(folder))  # opens the association
            ways: dict[str, Callable[[], float]] = {
                OURS: lambda: outbox.deliver(_study(folder)),
            }
            if shutil.which("storescu"):
                ways["storescu"] = partial(_storescu, archive, folder)
            measured = interleaved(ways, studies)
    name = type(archive).__name__
    seconds = measured.rounds[OURS]
    case = measured.case(
        f"4 results stored in {name}, p50",
        "s",
        f"{studies} studies of 1.9 MB, the ledger's rows synced; p99 "
        f"{percentile(seconds, 0.99):.3f} s; storescu: a process and an association a study",
    )
    yield replace(case, peers={"goal": _GOAL_SECONDS, **case.peers})
    each = statistics.median(seconds) / STUDY_RESULTS
    yield Case("a result stored and written down, p50", each, "s", note="a quarter of the above")


def _waiting(results: int) -> Iterator[Case]:
    note = f"resident memory, {results // STUDY_RESULTS} studies, read as from the ledger"
    for name, holds in (("outbox", False), ("outbox and account", True)):
        size = _grown(results, holds_account=holds) / 2**20
        goal = {"goal": _GOAL_BYTES / 2**20}
        yield Case(f"{results} waiting results, {name}", size, "MiB", goal, note=note)


def _grown(results: int, *, holds_account: bool) -> int:
    """Measure in a fresh process, so that nothing else has left its mark."""
    fresh = multiprocessing.get_context("spawn")
    ours, theirs = fresh.Pipe(duplex=False)
    how = {"holds_account": holds_account}
    child = fresh.Process(target=cost_of_waiting, args=(results, theirs), kwargs=how)
    child.start()
    theirs.close()
    try:
        return int(ours.recv())
    except EOFError as error:
        raise UsageError("waiting results", "could not be measured", "free some memory") from error
    finally:
        child.join()
        ours.close()


class _Outbox:
    """The door of deliver with a ledger on disk; says when a study is stored and written down."""

    def __init__(self, folder: Path, archive: Orthanc | Archive) -> None:
        settings = DestinationSettings(
            name="archive", ae_title=archive.ae_title, port=archive.dicom_port
        )
        self._told = threading.Condition()
        self._stored = 0
        self._ledger = SqliteLedger(folder / "ledger", "control", SystemClock())
        self._send = Send(
            CStore(settings, "LIGHTBOX", folder), self._ledger, settings, SystemClock(), self._note
        )

    def __enter__(self) -> Self:
        self._send.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._send.close(_SECONDS)
        self._ledger.close()

    def deliver(self, study: tuple[str, list[Result]]) -> float:
        """Return the seconds from the first result queued to the last one stored."""
        uid, results = study
        with self._told:
            wanted = self._stored + len(results)
        began = time.perf_counter()
        for result in results:
            self._send.take("bench", uid, result, Urgency.STAT)
        with self._told:
            if not self._told.wait_for(lambda: self._stored >= wanted, _SECONDS):
                raise UsageError(f"study {uid}", "is not stored in time", "is the archive busy?")
        return time.perf_counter() - began

    def _note(self, row: Recorded) -> None:
        if isinstance(row.event, Delivered):
            with self._told:
                self._stored += 1
                self._told.notify_all()


_outbox = _Outbox


def _study(folder: Path) -> tuple[str, list[Result]]:
    uid = generate_uid()
    return uid, [_result(folder, uid, kind) for kind in _CLASSES]


def _result(folder: Path, study: str, kind: ResultKind) -> Result:
    """Write an object of the usual size: archives look at its header and keep the rest."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = _CLASSES[kind], generate_uid()
    header.StudyInstanceUID, header.SeriesInstanceUID = study, generate_uid()
    header.PatientID = header.PatientName = "BENCH"
    header.Modality, header.InstanceNumber = "OT", 1
    _add_pixels(header, kind)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = BytesIO()
    header.save_as(made, enforce_file_format=True)
    path = folder / f"{header.SOPInstanceUID}.dcm"
    path.write_bytes(made.getvalue())
    digest = sha256(made.getvalue()).hexdigest()
    uid = str(header.SOPInstanceUID)
    return Result(kind, str(header.SOPClassUID), uid, path.name, digest, path.stat().st_size)


def _add_pixels(header: Dataset, kind: ResultKind) -> None:
    side = 512
    header.Rows = header.Columns = side
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    noise = np.random.default_rng(0)
    match kind:
        case ResultKind.SECONDARY_CAPTURE:
            header.SamplesPerPixel, header.PhotometricInterpretation = 3, "RGB"
            header.PlanarConfiguration, header.PixelRepresentation = 0, 0
            header.BitsAllocated = header.BitsStored = 8
            header.HighBit = 7
            header.PixelData = noise.bytes(side * side * 3)
        case ResultKind.SEGMENTATION:
            header.BitsAllocated = header.BitsStored = 1
            header.HighBit = header.PixelRepresentation = 0
            header.NumberOfFrames = 1
            header.PixelData = noise.bytes(side * side // 8)
        case ResultKind.PARAMETRIC_MAP:
            header.BitsAllocated = 32
            header.FloatPixelData = noise.bytes(side * side * 4)
        case _:
            header.TextValue = "A structured report is mostly text. " * 300


def _storescu(archive: Orthanc | Archive, folder: Path) -> float:
    _, results = _study(folder)
    files = [str(folder / result.path) for result in results]
    node = ("-R", "-aec", archive.ae_title, "127.0.0.1", str(archive.dicom_port))
    began = time.perf_counter()
    done = subprocess.run(["storescu", *node, *files], capture_output=True, check=False)  # noqa: S603, S607  # DCMTK, wherever it is installed
    if done.returncode:
        raise UsageError("storescu", "could not store", done.stderr.decode(errors="replace")[-200:])
    return time.perf_counter() - began
