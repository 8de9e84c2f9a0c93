"""What a look at a unit gave: the prediction, and what the explanation starts from."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.frame import Frame
from lightbox.domain.key_slices import Judged
from lightbox.domain.lesion import Lesion
from lightbox.domain.prediction import Prediction
from lightbox.ports import Output


@dataclass(frozen=True, slots=True)
class Looked:
    """A prediction with its key frame, in memory.

    Attributes
    ----------
    frame : Frame
        The key frame, with its picture.
    output : Output
        Of the key frame alone: logits (1, classes), cam (1, h, w).
    lesions : tuple of Lesion
        What a segmentation network outlined in the frames that were looked at.
    judged : tuple of Judged
        Every frame that was judged: neither blank nor unlike what the network knows.
    """

    prediction: Prediction
    frame: Frame
    output: Output
    lesions: tuple[Lesion, ...] = ()
    judged: tuple[Judged, ...] = ()
