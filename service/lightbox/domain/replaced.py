"""The result that a newer one replaces: the same images and more, looked at again."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.jobs import Job
from lightbox.domain.prediction import Prediction
from lightbox.domain.result import Result


@dataclass(frozen=True, slots=True)
class Replaced:
    """What an earlier job said and sent.

    Attributes
    ----------
    prediction : Prediction
        What it found; for an audit, what the prediction was that it explained.
    contradicted : bool
        It was an audit that contradicted its picture: its objects are filed apart.
    written_at : float
        When its objects were written, seconds since 1970.
    """

    job: Job
    prediction: Prediction
    results: tuple[Result, ...]
    written_at: float
    contradicted: bool = False
