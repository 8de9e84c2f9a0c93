"""The door of this step: an explanation goes in, result objects in storage come out."""

from __future__ import annotations

import hashlib
import importlib
import io
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from pydicom import dcmread

from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import Job
from lightbox.domain.refusal import Refusal
from lightbox.domain.result import Result, ResultKind
from lightbox.ports import ResultWriter, Storage
from lightbox.results.note import note
from lightbox.results.picture.png import png
from lightbox.results.picture.typeset import font
from lightbox.results.validate import first_errors, validator

Negative = Literal["picture", "report", "none"]
_PICTURE_ONLY = {ResultKind.SECONDARY_CAPTURE, ResultKind.STRUCTURED_REPORT}


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

    def write(self, explained: Explained, turn: Turn = nullcontext) -> tuple[Result, ...]:
        """Write every object that applies; repeating a job writes the same bytes again.

        Each object is made in a turn of its own: two threads would only slow each other down, and
        the more urgent of two is to be done first.

        Raises
        ------
        ResultError
            If an object cannot be made or is not valid; nothing of the job is stored then.
        """
        made: list[tuple[ResultKind, bytes]] = []
        for writer in self._writers:
            if not self._wanted(explained, writer.kind):
                continue
            with turn():
                data = writer.write(explained)
            if data is not None:
                made.append((writer.kind, data))
        self._check(made)
        return tuple(self._store(explained.job, kind, data) for kind, data in made)

    def refuse(self, refusal: Refusal) -> tuple[Result, ...]:
        """Write the note of a unit that was not analysed; repeating it writes the same bytes.

        Raises
        ------
        ResultError
            If it cannot be made or is not valid; nothing is stored then.
        """
        data = note(refusal)
        self._check([(ResultKind.SECONDARY_CAPTURE, data)])
        return (self._store(refusal.job, ResultKind.SECONDARY_CAPTURE, data),)

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

    def _check(self, made: Sequence[tuple[ResultKind, bytes]]) -> None:
        if self._validator is None or not made:
            return
        errors = first_errors(self._validator, [data for _, data in made])
        for (kind, _), error in zip(made, errors, strict=True):
            if error:
                raise ResultError(f"{kind} object", f"is not valid: {error}", "report this fault")

    def _store(self, job: Job, kind: ResultKind, data: bytes) -> Result:
        day = datetime.fromtimestamp(job.placed_at, tz=UTC).strftime("%Y%m%d")
        dataset = dcmread(io.BytesIO(data), stop_before_pixels=kind is not _PICTURE)
        stem = f"results/{day}/{dataset.SOPInstanceUID}"
        preview = ""
        if kind is _PICTURE:
            preview = f"{stem}.png"
            pixels = np.frombuffer(dataset.PixelData, dtype=np.uint8)
            shape = (dataset.Rows, dataset.Columns, 3)
            self._storage.put(preview, png(pixels[: math.prod(shape)].reshape(shape)))
        self._storage.put(f"{stem}.dcm", data)
        return Result(
            kind=kind,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            path=f"{stem}.dcm",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            preview=preview,
        )


_PICTURE = ResultKind.SECONDARY_CAPTURE


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
