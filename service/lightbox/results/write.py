"""The door of this step: an explanation goes in, result objects in storage come out."""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydicom import dcmread

from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import Job
from lightbox.domain.refusal import Refusal
from lightbox.domain.result import OF_SERIES, PICTURES, Result, ResultKind
from lightbox.ports import ResultWriter, Staged, Storage
from lightbox.results.note import note
from lightbox.results.picture.typeset import font
from lightbox.results.validate import Inspection, validator

Negative = Literal["picture", "report", "none"]
_NAMES = ["SOPClassUID", "SOPInstanceUID"]
_AT_ONCE = 8
"""Most threads that prepare and store the objects of one job."""
_PICTURE_ONLY = PICTURES | {ResultKind.STRUCTURED_REPORT}


Turn = Callable[[], AbstractContextManager[object]]
"""Gives the processor for the length of a ``with`` block (``schedule/gate.py``)."""


class Write:
    """Makes, checks and stores the results of one job.

    Parameters
    ----------
    writers : sequence of ResultWriter
        One per kind of object, in the order in which they are sent.
    storage : Storage
        Where files go: ``results/YYYYMMDD/UID.dcm``.
    validate : bool
        Let dicom3tools look at every object, where it is installed.
    negative : str
        What a normal study gets: the picture (and the report), the report only, or nothing.
    """

    def __init__(
        self,
        writers: Sequence[ResultWriter],
        storage: Storage,
        *,
        validate: bool = True,
        negative: Negative = "picture",
    ) -> None:
        self._writers = tuple(writers)
        self._storage = storage
        self._validator = validator() if validate else None
        self._negative = negative

    def configure(self, writers: Sequence[ResultWriter]) -> None:
        """Make other kinds of objects from the next job on: destinations ask for other ones."""
        self._writers = tuple(writers)

    def write(self, explained: Explained, turn: Turn = nullcontext) -> tuple[Result, ...]:
        """Write every object that applies; repeating a job writes the same bytes again.

        Each object is made in a turn of its own: two threads would only slow each other down, and
        the more urgent of two is to be done first.

        Raises
        ------
        ResultError
            If an object cannot be made or is not valid; nothing of the job is stored then.
        """
        # While one object is encoded, those before it are looked at and synced on the other cores
        # (the picture, by far the largest, comes first); they get their names when all are good, at
        # the same time: one wait for the disk.
        made: list[Future[_Ready]] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool, Inspection(self._validator) as inspection:
            try:
                for kind, data in self._made(explained, turn):
                    inspection.begin(data)
                    made.append(pool.submit(self._ready, explained.job, kind, data))
                ready = [each.result() for each in made]
                _refuse_invalid(ready, inspection)
                return tuple(pool.map(_published, ready))
            finally:
                wait(made)
                for each in made:
                    if each.exception() is None:
                        each.result().staged.discard()

    def _made(self, explained: Explained, turn: Turn) -> Iterator[tuple[ResultKind, bytes]]:
        for writer in self._writers:
            if not self._wanted(explained, writer.kind):
                continue
            for shown in _each(explained, writer.kind):
                with turn():
                    data = writer.write(shown)
                if data is not None:
                    yield writer.kind, data

    @property
    def needs_slices(self) -> bool:
        """Whether some of its objects show more of a series than its key slice."""
        return any(writer.kind in OF_SERIES for writer in self._writers)

    def refuse(self, refusal: Refusal) -> tuple[Result, ...]:
        """Write the note of a unit that was not analysed; repeating it writes the same bytes.

        Raises
        ------
        ResultError
            If it cannot be made or is not valid; nothing is stored then.
        """
        data = note(refusal)
        ready = self._ready(refusal.job, ResultKind.SECONDARY_CAPTURE, data)
        try:
            with Inspection(self._validator) as inspection:
                inspection.begin(data)
                _refuse_invalid([ready], inspection)
            return (_published(ready),)
        finally:
            ready.staged.discard()

    def _wanted(self, explained: Explained, kind: ResultKind) -> bool:
        finding = explained.package.finding(explained.prediction.target)
        if not finding.negative:
            return True
        if explained.replaces is not None:
            # What a person or a system has been shown must not stand uncorrected.
            sent = {result.kind for result in explained.replaces.results} & _PICTURE_ONLY
            if kind is ResultKind.KEY_OBJECT or kind in sent:
                return True
        match self._negative:
            case "picture":
                return kind in _PICTURE_ONLY
            case "report":
                return kind is ResultKind.STRUCTURED_REPORT
            case "none":
                return False

    def _ready(self, job: Job, kind: ResultKind, data: bytes) -> _Ready:
        dataset = dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=_NAMES)
        day = datetime.fromtimestamp(job.placed_at, tz=UTC).strftime("%Y%m%d")
        path = f"results/{day}/{dataset.SOPInstanceUID}.dcm"
        staged = self._storage.stage(path, data)
        result = Result(
            kind=kind,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            path=path,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
        )
        return _Ready(result, staged)


def _each(explained: Explained, kind: ResultKind) -> tuple[Explained, ...]:
    """Return what each object of a kind is made of: one of all, but of every further key slice."""
    if kind is ResultKind.SLICE:
        return tuple(explained.of_slice(each) for each in explained.slices)
    return (explained,)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An object on disk with its row."""

    result: Result
    staged: Staged


def _published(ready: _Ready) -> Result:
    ready.staged.publish()
    return ready.result


def _refuse_invalid(ready: Sequence[_Ready], inspection: Inspection) -> None:
    for each, error in zip(ready, inspection.first_errors(), strict=True):
        if error:
            kind = each.result.kind
            raise ResultError(f"{kind} object", f"is not valid: {error}", "report this fault")


def warm() -> None:
    """Load what is heavy, once, before the first urgent study asks for it (1 s)."""
    for module in ("highdicom.seg", "highdicom.sr", "highdicom.pm", "numpy.ma"):
        importlib.import_module(module)
    # The tables of the standard that highdicom otherwise reads for the first segmentation: 0.35 s.
    tables = importlib.import_module("highdicom._standard_utils")
    for table in ("sop_class_iod", "iod_module", "module_attribute", "anatomic_region"):
        getattr(tables, f"get_{table}_map")()
    for size in (12, 15, 18, 20, 22, 24, 30):
        font(size)
