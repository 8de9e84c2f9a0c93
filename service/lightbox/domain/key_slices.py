"""Key slices: which few slices of a series show what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightbox.domain.attribution import Attribution
from lightbox.domain.frame import Frame
from lightbox.domain.prediction import FrameRef, Prediction

MOST_SLICES = 6
"""Most key slices of a series, the key frame included."""

_PARTS = 24
"""No two key slices are nearer to each other than a stack of so many parts is long in one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a network said of one frame of a unit, in the pass over all of them.

    Attributes
    ----------
    target : int
        Output that won.
    suspicion : float
        Highest calibrated probability of a finding that is not negative, 0 to 1.
    """

    ref: FrameRef
    target: int
    suspicion: float


@dataclass(frozen=True, slots=True)
class KeySlice:
    """A key slice beside the key frame, looked at and explained as that one was.

    Attributes
    ----------
    prediction : Prediction
        Of this frame alone.
    attribution : Attribution
        Of its winning finding; one that lies nowhere where there is no map.
    """

    prediction: Prediction
    frame: Frame
    attribution: Attribution


def least_distance(slices: int) -> int:
    """Return how far apart key slices of a stack are at least, in slices; neighbours never are."""
    return max(2, round(slices / _PARTS))


def key_slices(
    stack: Sequence[Judged], key: FrameRef, least: float = 0.0, most: int = MOST_SLICES
) -> tuple[FrameRef, ...]:
    """Choose the key slices: the key frame, then the most suspicious ones that keep their distance.

    Only slices count whose winning finding is the key frame's. Of equals the first in the stack is
    taken.

    Parameters
    ----------
    stack : sequence of Judged
        Every frame that was judged, in the order of the stack.
    key : FrameRef
        The key frame, one of them.
    least : float
        Suspicion under which a slice does not show the finding.
    most : int
        Most slices, the key frame included.

    Returns
    -------
    tuple of FrameRef
        In the order of the stack; the key frame is among them.
    """
    at = next(place for place, judged in enumerate(stack) if judged.ref == key)
    distance = least_distance(len(stack))
    chosen = {at}
    for place in sorted(range(len(stack)), key=lambda place: (-stack[place].suspicion, place)):
        judged = stack[place]
        if len(chosen) == most or judged.suspicion < least:
            break
        if judged.target == stack[at].target and all(
            abs(place - other) >= distance for other in chosen
        ):
            chosen.add(place)
    return tuple(stack[place].ref for place in sorted(chosen))
