"""What an explanation is of."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.background import Background
from lightbox.domain.frame import Frame
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained: the prediction of a model for a frame.

    Attributes
    ----------
    background : Background or None
        The package's background images, where an audit needs them.
    """

    package: ModelPackage
    frame: Frame
    prediction: Prediction
    background: Background | None = None

    @property
    def finding(self) -> str:
        """Words for the target on the picture."""
        return self.package.finding(self.prediction.target).words

    @property
    def is_no_outline(self) -> bool:
        """True where a segmentation network found nothing to outline."""
        negative = self.package.finding(self.prediction.target).negative
        return negative and self.package.task == "segmentation"
