"""What is said of key slices: which they are, where they lie, and how a further one is called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightbox.domain.explained import Explained
from lightbox.results.header.source import Source, source_of
from lightbox.results.wording import is_negative, lower_first, percent

_AXES = (("R", "L"), ("A", "P"), ("F", "H"))
"""Letters of the negative and the positive direction of x, y and z (PS3.3 C.7.6.2.1.1)."""
_WORDS = {"R": "right", "L": "left", "A": "front", "P": "back", "F": "feet", "H": "head"}


def slice_name(source: Source) -> str:
    """Name a slice as viewers do."""
    if source.has_frames:
        return f"Frame {source.frame}"
    return f"Instance {source.text('InstanceNumber') or 'without number'}"


def position_words(source: Source) -> str:
    """Say where a slice lies along its normal, as scanners print it (H 34.5 mm); "" if unknown."""
    plane = source.plane
    if not plane.is_real:
        return ""
    size = f"{abs(plane.distance):.1f}"
    if size == "0.0":
        return "0.0 mm"
    if source.text("AnatomicalOrientationType") == "QUADRUPED":
        return f"{plane.distance:.1f} mm"
    axis = int(np.argmax(np.abs(plane.normal)))
    to_positive = plane.distance * plane.normal[axis] >= 0
    return f"{_AXES[axis][to_positive]} {size} mm"


def slices_line(explained: Explained, shown: Sequence[Source]) -> str:
    """Say which slices are shown, by which rule, and in which order."""
    label = lower_first(explained.package.finding(explained.prediction.target).words)
    which = "" if is_negative(explained) else f" of those in which {label} is the likeliest"
    return (
        f"{len(shown)} of the {explained.prediction.frames} slices that were looked at: the most "
        f"suspicious{which}, none beside another; {_order(shown)}"
    )


def _order(shown: Sequence[Source]) -> str:
    first, last = shown[0].plane, shown[-1].plane
    if not (first.is_real and last.is_real) or first.distance == last.distance:
        return "in the order of the series"
    if shown[0].text("AnatomicalOrientationType") == "QUADRUPED":
        return "in the order of the stack"
    axis = int(np.argmax(np.abs(first.normal)))
    ends = _AXES[axis] if first.normal[axis] > 0 else _AXES[axis][::-1]
    return f"in the order of the stack, from {_WORDS[ends[0]]} to {_WORDS[ends[1]]}"


def further_slice_line(explained: Explained) -> str:
    """Say that this is not the key slice, and which one is; "" of the key slice."""
    if explained.unit is None:
        return ""
    key = slice_name(source_of(explained, explained.unit.key_frame))
    return (
        f"A further slice of the series; the key slice is {lower_first(key)} "
        f"({percent(explained.unit.confidence)})"
    )
