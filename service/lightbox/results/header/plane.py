"""Where one frame lies in space: the real plane of the source, or a nominal one.

Viewers cannot show a Segmentation that states no plane: OHIF turns black, dcmqi refuses. An image
without geometry (CR, DX, MG, US ...) therefore gets a plane of its own frame of reference: origin
0, axes along rows and columns, the source's pixel spacing or 1 mm.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from pydicom.dataset import Dataset

from lightbox.domain.identity import derived_uid, is_uid

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Plane:
    """A frame's plane (PS3.3 C.7.6.2).

    Attributes
    ----------
    position : tuple of three floats
        Image Position (Patient), millimetres: centre of the first pixel.
    orientation : tuple of six floats
        Direction cosines of a row, then of a column.
    spacing : tuple of two floats
        Pixel Spacing, millimetres: between rows, between columns.
    thickness : float
        Slice Thickness, millimetres.
    frame_of_reference_uid : str
        The source's where it states one, else our own.
    is_real : bool
        Whether the source states position, orientation and spacing.
    """

    position: Vector
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float
    frame_of_reference_uid: str
    is_real: bool

    @property
    def normal(self) -> Vector:
        """Row direction x column direction."""
        a, b = self.orientation[:3], self.orientation[3:]
        return (
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        )

    @property
    def distance(self) -> float:
        """Position along the normal, millimetres."""
        return sum(p * n for p, n in zip(self.position, self.normal, strict=True))


def plane_of(
    header: Dataset,
    frame: int,
    shape: tuple[int, int],
    pixel_spacing: tuple[float, float] | None,
) -> Plane:
    """Return the plane of frame number ``frame`` of a source; nominal where it states none.

    Parameters
    ----------
    shape : tuple of two ints
        Rows and columns, part of the nominal frame of reference's identity.
    pixel_spacing : tuple of two floats, or None
        What the decoder found; used where the header's plane has none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = _groups(header, frame)
        spacing = _numbers(groups, "PixelSpacing", 2)
        position = _numbers(groups, "ImagePositionPatient", 3)
        orientation = _numbers(groups, "ImageOrientationPatient", 6)
        thickness = _positive(groups, "SliceThickness") or 1.0
        reference = _reference(header)
    if position and spacing and min(spacing) > 0 and _orthonormal(orientation):
        return Plane(
            (position[0], position[1], position[2]),
            orientation,
            (spacing[0], spacing[1]),
            thickness,
            reference,
            is_real=True,
        )
    nominal = pixel_spacing if pixel_spacing and min(pixel_spacing) > 0 else (1.0, 1.0)
    uid = derived_uid("plane", str(header.get("SOPInstanceUID", "")), f"{shape[0]}x{shape[1]}")
    return Plane(
        (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), nominal, thickness, uid, is_real=False
    )


def _groups(header: Dataset, frame: int) -> tuple[Dataset, ...]:
    """Return where plane attributes may stand: the frame's groups, shared ones, top level."""
    found = []
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if 0 < frame <= len(per_frame):
        found.append(per_frame[frame - 1])
    found.extend(header.get("SharedFunctionalGroupsSequence") or [])
    items = [
        item
        for group in found
        for keyword in (
            "PlanePositionSequence",
            "PlaneOrientationSequence",
            "PixelMeasuresSequence",
        )
        for item in group.get(keyword) or []
    ]
    return (*items, header)


def _numbers(groups: tuple[Dataset, ...], keyword: str, count: int) -> tuple[float, ...]:
    for group in groups:
        try:
            values = tuple(float(v) for v in group.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if len(values) == count and all(math.isfinite(v) for v in values):
            return values
    return ()


def _positive(groups: tuple[Dataset, ...], keyword: str) -> float | None:
    for group in groups:
        try:
            value = float(group.get(keyword) or 0.0)
        except (TypeError, ValueError):
            continue
        if math.isfinite(value) and value > 0:
            return value
    return None


def _reference(header: Dataset) -> str:
    """Return the source's Frame of Reference UID, or one for its series where it states none."""
    stated = str(header.get("FrameOfReferenceUID") or "").strip(" \0")
    if is_uid(stated):
        return stated
    return derived_uid("frame of reference", str(header.get("SeriesInstanceUID", "")))


def _orthonormal(orientation: tuple[float, ...]) -> bool:
    """Say whether these are two unit vectors at a right angle (to 1e-2)."""
    if len(orientation) != 6:
        return False
    a, b = orientation[:3], orientation[3:]
    lengths = (math.hypot(*a), math.hypot(*b))
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return all(abs(length - 1.0) < 1e-2 for length in lengths) and abs(dot) < 1e-2
