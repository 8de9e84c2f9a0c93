"""A unit that a model is for and that was not analysed, with all that a note about it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.jobs import Job
from lightbox.domain.model_package import ModelPackage


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job has no result.

    Attributes
    ----------
    reason, mend : str
        For people: why, and what helps.
    source : bytes
        DICOM file (PS3.10) of the first instance, without pixel data.
    """

    job: Job
    package: ModelPackage
    reason: str
    mend: str
    source: bytes
