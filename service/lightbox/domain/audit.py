"""Which predictions deserve an audit, and for which reason.

The reason is a sentence for people: it stands in the ledger, in the console and in the result.
The random sample is drawn from the instances' own bytes, so the same study is drawn or not drawn
however often it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from lightbox.domain.jobs import Job
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.prediction import Prediction

AGREEMENT_LIMIT = 0.2
"""Rank correlation of fast map and audit under which the two disagree about the regions."""


def contradicts(quality: Mapping[str, float]) -> bool:
    """Say whether an audit, by its measured quality, contradicts the fast map that it audits."""
    return quality.get("agreement", 1.0) < AGREEMENT_LIMIT


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What a site wants audited (``[audit]`` of the configuration).

    Attributes
    ----------
    below_confidence : float
        Calibrated confidence under which an audit is made; a model may set its own.
    modalities : tuple of str
        Modalities that are always audited.
    sample : float
        Share of all others, 0 to 1, that is audited at random.
    audit_below : mapping of str to float
        The site's own threshold by model name; it outranks the model's.
    """

    below_confidence: float = 0.85
    modalities: tuple[str, ...] = ("MR",)
    sample: float = 0.02
    audit_below: Mapping[str, float] = field(default_factory=dict)

    def threshold(self, package: ModelPackage) -> float:
        """Return the confidence under which this model's predictions are audited."""
        if package.name in self.audit_below:
            return self.audit_below[package.name]
        if "audit_below" in package.calibration.model_fields_set:
            return package.calibration.audit_below
        return self.below_confidence


def critical(prediction: Prediction, package: ModelPackage) -> str | None:
    """Return the name of the critical finding that a prediction is sure of, or None."""
    found = package.finding(prediction.target)
    is_sure = found.critical and prediction.confidence >= prediction.threshold(found)
    return found.name if is_sure else None


def why_audit(
    prediction: Prediction, package: ModelPackage, job: Job, policy: AuditPolicy
) -> str | None:
    """Return why this prediction is to be audited, or None.

    The first reason that holds is given: what a person or rule asked for, a critical finding,
    doubt, the modality, the random sample.
    """
    if job.audit:
        return job.first_rule
    found = critical(prediction, package)
    if found is not None:
        return f"critical finding {found}"
    threshold = policy.threshold(package)
    if prediction.confidence < threshold:
        return f"calibrated confidence {prediction.confidence:.2f} below {threshold:.2f}"
    if job.modality in policy.modalities:
        return f"modality {job.modality}"
    if draw(job) < policy.sample:
        return f"random sample {100 * policy.sample:g} %"
    return None


def can_wait(prediction: Prediction, package: ModelPackage, job: Job) -> bool:
    """Say whether the audit may wait for off-peak hours.

    Not where a person or a rule asked for it, nor where something critical was found.
    """
    return not job.audit and critical(prediction, package) is None


def draw(job: Job) -> float:
    """Return a number in [0, 1) that these instances and this model always give."""
    content = "\x1f".join([job.model, *sorted(i.sha256 for i in job.instances)])
    digest = sha256(content.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
