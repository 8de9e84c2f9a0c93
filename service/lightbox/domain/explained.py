"""A prediction with its explanation and its sources: all that a result is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lightbox.domain.attribution import Attribution
from lightbox.domain.frame import Frame
from lightbox.domain.jobs import Job
from lightbox.domain.key_slices import KeySlice
from lightbox.domain.lesion import Lesion
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.prediction import Prediction
from lightbox.domain.replaced import Replaced


@dataclass(frozen=True, slots=True)
class Explained:
    """What the result writers read.

    Attributes
    ----------
    job : Job
        Made by ``lightbox explain`` too, with path "fast" and no queue behind it.
    frame : Frame
        The key frame (``prediction.key_frame``).
    sources : tuple of bytes
        DICOM files (PS3.10) of ``job.instances``, in order, without pixel data.
    fast : Attribution or None
        For an audit: the fast map that it is the audit of.
    replaces : Replaced or None
        The earlier result that this one supersedes, where one was written.
    lesions : tuple of Lesion
        What a segmentation network outlined; empty for classifiers, and where nothing was found.
    slices : tuple of KeySlice
        Key slices of a series beside the key frame; empty where nobody asks for pictures of them.
    unit : Prediction or None
        Of a further key slice: the prediction of its series.
    """

    job: Job
    package: ModelPackage
    prediction: Prediction
    attribution: Attribution
    frame: Frame
    sources: tuple[bytes, ...]
    fast: Attribution | None = None
    replaces: Replaced | None = None
    lesions: tuple[Lesion, ...] = ()
    slices: tuple[KeySlice, ...] = ()
    unit: Prediction | None = None

    def of_slice(self, key_slice: KeySlice) -> Explained:
        """Return what a picture of one further key slice is made of."""
        return replace(
            self,
            prediction=key_slice.prediction,
            attribution=key_slice.attribution,
            frame=key_slice.frame,
            slices=(),
            unit=self.prediction,
        )
