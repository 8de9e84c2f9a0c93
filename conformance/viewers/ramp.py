"""A series in which every slice shows which one it is, and an explanation of one of its slices.

From instance to instance a bright square in the lower half moves to the right: whoever sees a slice
knows its number from the pixels, whatever a viewer prints beside them. What is explained lies in the
upper half above the square of its slice, and is the same in no mirror.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from explained_builders import a_header, as_file, explained_of
from lightbox.domain.arrays import Mask, Picture
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid

SIZE = 96
SLICES = 5
KEY = 1
"""Index of the slice that is explained; in the mirror it would be the fourth."""
TISSUE, SQUARE = 60, 220
_STEP, _SIDE, _ROW = 16, 8, 76


@dataclass(frozen=True, slots=True)
class Stack:
    """How a series lies in the patient.

    Attributes
    ----------
    orientation : tuple of six floats
        Direction cosines of a row, then of a column.
    step : tuple of three floats
        From one instance to the next, millimetres.
    """

    orientation: tuple[float, ...]
    step: tuple[float, float, float]


STACKS = {
    "axial, feet first": Stack((1, 0, 0, 0, 1, 0), (0, 0, 5)),
    "axial, head first": Stack((1, 0, 0, 0, 1, 0), (0, 0, -5)),
    "coronal": Stack((1, 0, 0, 0, 0, -1), (0, 5, 0)),
    "sagittal": Stack((0, 1, 0, 0, 0, -1), (-5, 0, 0)),
    "oblique": Stack((1, 0, 0, 0, 0.8, 0.6), (0, 3, -4)),
}


def left_edge(index: int) -> int:
    """Return the first column of the square of a slice."""
    return 6 + _STEP * index


def slice_at(column: float) -> int:
    """Return the index of the slice whose square has its middle in this column."""
    return round((column - left_edge(0) - _SIDE / 2) / _STEP)


def picture(index: int) -> Picture:
    """Return the pixels of a slice, shape (96, 96)."""
    pixels: Picture = np.full((SIZE, SIZE), TISSUE, dtype=np.uint8)
    pixels[_ROW : _ROW + _SIDE, left_edge(index) : left_edge(index) + _SIDE] = SQUARE
    return pixels


def region() -> Mask:
    """Return what is explained in the key slice: an L above its square, shape (96, 96)."""
    mask: Mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    column = left_edge(KEY)
    mask[14:38, column : column + 10] = True
    mask[28:38, column : column + 26] = True
    return mask


def write(folder: Path, stack: Stack, name: str) -> list[Path]:
    """Write the series, in the order of its instance numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(SLICES):
        position = [-40.0 + index * s for s in stack.step]
        header = a_header(
            SIZE,
            SIZE,
            SOPInstanceUID=derived_uid("ramp", name, str(index)),
            SeriesInstanceUID=derived_uid("ramp", name, "series"),
            StudyInstanceUID=derived_uid("ramp", name, "study"),
            FrameOfReferenceUID=derived_uid("ramp", name, "frame of reference"),
            StudyDescription=f"Ramp, {name}",
            PatientID=derived_uid("ramp", name)[-12:],
            InstanceNumber=index + 1,
            ImagePositionPatient=position,
            ImageOrientationPatient=list(stack.orientation),
            PixelSpacing=[2.0, 2.0],
            ImageType=["ORIGINAL", "PRIMARY"],
            SamplesPerPixel=1,
            PhotometricInterpretation="MONOCHROME2",
            BitsAllocated=16,
            BitsStored=16,
            HighBit=15,
            PixelRepresentation=0,
            WindowCenter=128,
            WindowWidth=256,
        )
        header.PixelData = picture(index).astype("<u2").tobytes()
        files.append(folder / f"{index + 1:02}.dcm")
        files[-1].write_bytes(as_file(header))
    return files


def explained(files: list[Path]) -> Explained:
    """Return the explanation of the key slice: one over the region, nothing elsewhere."""
    made = explained_of(files, key=KEY)
    attribution = replace(made.attribution, source_map=region().astype(np.float32))
    return replace(made, attribution=attribution)
