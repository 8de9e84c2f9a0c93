"""The numbers: Parametric Map (PS3.3 A.75), float, for images with a plane in space.

One viewer draws frame i on slice i of its volume whatever the position says, and its volume
ascends along row x column. So a map of a series holds every frame of the series (zero where
nothing was computed), in ascending order; any other order would lie on mirrored slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from lightbox.domain.arrays import FloatMap
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import JobPath
from lightbox.domain.result import ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import Source, all_sources, key_source
from lightbox.results.header.text import SHORT, ascii_text
from lightbox.results.maps.float_frames import Meaning, float_frames
from lightbox.results.replacing.references import refer_to_replaced
from lightbox.results.wording import method_name

_MODALITIES = {"CT", "MR", "PT"}
_MOST_BYTES = 64 * 2**20
_SAME_MM = 1e-3


class ParametricMap:
    """Makes the map of one key frame within its series.

    Parameters
    ----------
    fast : bool
        Make it for the fast path too; else for audits only.
    """

    kind = ResultKind.PARAMETRIC_MAP

    def __init__(self, *, fast: bool = False) -> None:
        self._fast = fast

    def write(self, explained: Explained) -> bytes | None:
        """Return the map as a DICOM file, or None where it does not apply.

        It does not apply where no map is shown, to images without a plane in space, to series
        whose frames do not form one stack (several at one place, other sizes or directions), and
        beyond 64 MiB.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if explained.job.path is not JobPath.AUDIT and not self._fast:
            return None
        if explained.attribution.lies_nowhere:
            return None
        source = key_source(explained)
        if not source.plane.is_real or source.text("Modality") not in _MODALITIES:
            return None
        stack = _stack(explained, source)
        if stack is None:
            return None
        dataset = _build(explained, source, stack)
        provenance.stamp(dataset, explained, source, self.kind)
        dataset.Modality = source.text("Modality")  # what acquired the data (C.8.32.1)
        refer_to_replaced(dataset, explained, source, {self.kind})
        dataset.PositionReferenceIndicator = None
        if dataset.get("BodyPartExamined") not in codes.UNPAIRED:
            dataset.Laterality = source.text("Laterality") or None
        return provenance.to_file(dataset)


@dataclass(frozen=True, slots=True)
class _Stack:
    """Every frame of the series, ascending along its normal.

    Attributes
    ----------
    pixels : array, shape (frames, rows, columns), float32
    """

    frames: tuple[Source, ...]
    pixels: FloatMap


def _stack(explained: Explained, key: Source) -> _Stack | None:
    """Return the stack, or None where the frames do not form one."""
    shape = explained.attribution.source_map.shape
    frames = sorted(all_sources(explained), key=lambda s: s.plane.distance)
    if len(frames) * shape[0] * shape[1] * 4 > _MOST_BYTES:
        return None
    distances = np.array([s.plane.distance for s in frames])
    one_stack = all(
        s.plane.is_real
        and s.shape == shape
        and s.plane.frame_of_reference_uid == key.plane.frame_of_reference_uid
        and np.allclose(s.plane.orientation, key.plane.orientation, atol=1e-4)
        and np.allclose(s.plane.spacing, key.plane.spacing, atol=1e-4)
        for s in frames
    )
    if not one_stack or (len(frames) > 1 and np.diff(distances).min() < _SAME_MM):
        return None
    pixels = np.zeros((len(frames), *shape), dtype=np.float32)
    at = next(
        i
        for i, s in enumerate(frames)
        if s.sop_instance_uid == key.sop_instance_uid and s.frame == key.frame
    )
    pixels[at] = np.nan_to_num(explained.attribution.source_map)
    return _Stack(tuple(frames), pixels)


def _build(explained: Explained, source: Source, stack: _Stack) -> Dataset:
    name = provenance.name_of(explained, source, ResultKind.PARAMETRIC_MAP)
    method = explained.attribution.method
    meaning = Meaning(
        label=ascii_text(method_name(method), SHORT),
        words=ascii_text(f"Attribution by {method_name(method)}"),
        code=codes.visual_explanation(method),
    )
    uid = derived_uid("dimensions", name.sop_instance_uid)
    return float_frames(stack.frames, stack.pixels, source.plane, meaning, uid)
