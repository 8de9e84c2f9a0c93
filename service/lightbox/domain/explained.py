"""A prediction with its explanation and its sources: all that a result is made of."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.attribution import Attribution
from lightbox.domain.frame import Frame
from lightbox.domain.jobs import Job
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
