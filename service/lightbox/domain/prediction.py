"""What a model said about a unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lightbox.domain.model_package import Finding


@dataclass(frozen=True, slots=True)
class FrameRef:
    """One frame of one instance: where a picture or an outline belongs.

    Attributes
    ----------
    frame : int
        Frame number, from 1 (PS3.3 C.7.6.6); 1 for single-frame instances.
    """

    sop_instance_uid: str
    frame: int = 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """The scores of the key frame, calibrated.

    Attributes
    ----------
    finding : str
        Name of the winning class.
    confidence : float
        Its calibrated probability, 0 to 1.
    scores : mapping of str to float
        Calibrated probability of each finding.
    target : int
        Index of the winning class in the network's outputs.
    key_frame : FrameRef
        The most suspicious frame of the unit.
    frames : int
        How many frames were looked at.
    thresholds : mapping of str to float
        The site's own, by finding (``[models.NAME] thresholds``), that were in force; the model
        package's hold for every other finding.
    signer : str
        Who signed the model package, where the site asked for signatures; else "".
    """

    model: str
    version: str
    model_sha256: str
    finding: str
    confidence: float
    scores: Mapping[str, float]
    target: int
    key_frame: FrameRef
    frames: int = 1
    decode_seconds: float = 0.0
    infer_seconds: float = 0.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    signer: str = ""

    def as_told(self, first: Prediction) -> Prediction:
        """Return it with what only its time knew: the site's thresholds, and who had signed.

        Parameters
        ----------
        first : Prediction
            What was written down when the job was first told of.
        """
        return replace(self, thresholds=first.thresholds, signer=first.signer)

    def threshold(self, finding: Finding) -> float:
        """Return the calibrated confidence at which a finding counted as present."""
        return self.thresholds.get(finding.name, finding.threshold)
