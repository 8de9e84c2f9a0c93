"""The order of a series' frames: along the normal where they form a stack, else as they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lightbox.domain.prediction import FrameRef
from lightbox.domain.study import Instance
from lightbox.results.header.plane import Plane, plane_of
from lightbox.results.header.source import frames_of, read_header


def planes_of(
    instances: Sequence[Instance],
    sources: Sequence[bytes],
    pixel_spacing: tuple[float, float] | None = None,
) -> Mapping[FrameRef, Plane]:
    """Return the plane of every frame of a unit, in the order in which it is read.

    Parameters
    ----------
    instances : sequence of Instance
    sources : sequence of bytes
        Their headers (PS3.10).
    pixel_spacing : tuple of two floats, or None
        What the decoder found; used where a header's plane has none.
    """
    found = {}
    for instance, data in zip(instances, sources, strict=True):
        header = read_header(data)
        for frame in range(1, frames_of(header) + 1):
            ref = FrameRef(instance.sop_instance_uid, frame)
            found[ref] = plane_of(header, frame, (0, 0), pixel_spacing)
    return found


def in_order(planes: Mapping[FrameRef, Plane]) -> tuple[FrameRef, ...]:
    """Return the frames in the order of their stack: ascending along their common normal.

    Frames without a plane, or of several directions, stay in the order in which they are read; so
    do frames at one place.
    """
    refs = tuple(planes)
    first = planes[refs[0]]
    one_direction = all(
        plane.is_real and np.allclose(plane.orientation, first.orientation, atol=1e-4)
        for plane in planes.values()
    )
    if not one_direction:
        return refs
    normal = np.asarray(first.normal)
    return tuple(sorted(refs, key=lambda ref: float(np.dot(normal, planes[ref].position))))
