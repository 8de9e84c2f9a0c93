"""What a segmentation network outlined: the lesion itself, never where a classifier looked."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.arrays import Mask
from lightbox.domain.prediction import FrameRef


@dataclass(frozen=True, slots=True)
class LesionPlane:
    """Where a lesion lies in one frame.

    Attributes
    ----------
    mask : array, shape (rows, columns) of the source frame, bool
        At least one pixel is True.
    """

    ref: FrameRef
    mask: Mask


@dataclass(frozen=True, slots=True)
class Lesion:
    """One finding of a segmentation network, over all frames in which it lies.

    Attributes
    ----------
    target : int
        Output of the network; label and codes are those of the package's finding.
    probability : float
        Calibrated probability that it is there, 0 to 1.
    planes : tuple of LesionPlane
        At least one, in the order of the job's instances and their frames.
    """

    target: int
    probability: float
    planes: tuple[LesionPlane, ...]
