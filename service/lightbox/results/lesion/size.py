"""How large a lesion is: volume where its frames form a stack, else area; its longest diameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightbox.domain.explained import Explained
from lightbox.domain.lesion import Lesion, LesionPlane
from lightbox.results.header.plane import Plane
from lightbox.results.header.stack import planes_of
from lightbox.results.outline import longest_line, parts

_SAME_MM = 1e-3


@dataclass(frozen=True, slots=True)
class Size:
    """What can be measured of a lesion.

    Attributes
    ----------
    widest : LesionPlane
        The frame in which it is longest (in pixels where no spacing is known).
    longest : float or None
        Longest diameter of one connected part in that frame, from edge to edge, millimetres; None
        where no spacing is known.
    area : float or None
        In that frame, square millimetres.
    volume : float or None
        Cubic millimetres; None where its frames do not form one stack of at least two.
    """

    widest: LesionPlane
    longest: float | None
    area: float | None
    volume: float | None


def size_of(explained: Explained, lesion: Lesion) -> Size:
    """Measure a lesion on the planes of its sources."""
    planes = planes_of(explained.job.instances, explained.sources, explained.frame.pixel_spacing)
    spacing = _spacing(explained, planes[lesion.planes[0].ref])
    unit = spacing or (1.0, 1.0)
    lengths = [
        max((longest_line(part, unit) for part in parts(plane.mask)), default=0.0)
        for plane in lesion.planes
    ]
    place = int(np.argmax(lengths))
    widest = lesion.planes[place]
    if spacing is None:
        return Size(widest, None, None, None)
    area = spacing[0] * spacing[1]
    heights = _heights(list(planes.values()))
    volume = None
    if heights:
        volume = sum(
            int(plane.mask.sum()) * area * heights[planes[plane.ref].distance]
            for plane in lesion.planes
        )
    return Size(widest, lengths[place], int(widest.mask.sum()) * area, volume)


def size_words(size: Size) -> str:
    """Say what was measured, in the units that radiologists read."""
    if size.longest is None:
        return "size not measured: the source states no pixel spacing"
    parts = [f"longest diameter {size.longest:.0f} mm"]
    if size.area is not None:
        parts.append(f"area there {size.area:.0f} mm\u00b2")
    if size.volume is not None:
        parts.append(f"volume {size.volume / 1000:.1f} cm\u00b3")
    return ", ".join(parts)


def _spacing(explained: Explained, plane: Plane) -> tuple[float, float] | None:
    """Return millimetres between rows and columns; None where the source states none."""
    if plane.is_real:
        return plane.spacing
    stated = explained.frame.pixel_spacing
    return stated if stated and min(stated) > 0 else None


def _heights(planes: list[Plane]) -> dict[float, float]:
    """Return how much of the stack each frame stands for, by its place along the normal.

    Half of the way to each neighbour; empty where the frames do not form one stack.
    """
    first = planes[0]
    along = sorted(plane.distance for plane in planes)
    gaps = np.diff(along)
    one_stack = all(
        plane.is_real
        and plane.frame_of_reference_uid == first.frame_of_reference_uid
        and np.allclose(plane.orientation, first.orientation, atol=1e-4)
        and np.allclose(plane.spacing, first.spacing, atol=1e-4)
        for plane in planes
    )
    if not one_stack or gaps.size == 0 or gaps.min() < _SAME_MM:
        return {}
    before, after = np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:])
    return dict(zip(along, ((before + after) / 2).tolist(), strict=True))
