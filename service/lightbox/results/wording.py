"""What the objects say in words: sentences made from the values, never more than they hold."""

from __future__ import annotations

from datetime import UTC, datetime

from lightbox.domain.attribution import Attribution
from lightbox.domain.audit import contradicts
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import JobPath
from lightbox.results.header.source import Source

_MOST_OTHERS = 4
_NAMES = {
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "xgrad_cam": "XGrad-CAM",
    "layer_cam": "LayerCAM",
    "eigen_grad_cam": "Eigen-Grad-CAM",
    "hires_cam": "HiResCAM",
    "score_cam": "Score-CAM",
    "eigen_cam": "Eigen-CAM",
    "shapley": "Shapley",
    "shapley_exact": "Shapley",
    "occlusion": "Occlusion",
}


def method_name(method: str) -> str:
    """Return a method's name as people write it."""
    return _NAMES.get(method, method.replace("_", " ").capitalize())


def method_sentence(explained: Explained) -> str:
    """Say what the method shows, in one line."""
    attribution = explained.attribution
    name = method_name(attribution.method)
    values = attribution.estimate.values
    if values is None and is_negative(explained):
        return f"{name}: shows what spoke for the absence of a finding, and marks no lesion"
    if values is None:
        return f"{name}: shows where the model looked, not the outline of a lesion"
    if attribution.method == "occlusion":
        return f"{name} of {len(values)} regions: the change when one region is hidden"
    how = "exact" if attribution.estimate.exact else "estimated"
    return f"Shapley values over {len(values)} regions, {how}"


def percent(confidence: float) -> str:
    """Return a probability as whole per cent, never rounded up to certainty."""
    if confidence > 0.99:
        return "> 99 %"
    if confidence < 0.01:
        return "< 1 %"
    return f"{100 * confidence:.0f} %"


def signed_text(value: float) -> str:
    """Return a value with its sign; nothing has none."""
    text = f"{value:+.2f}".replace("-", "\u2212")
    return text[1:] if text[1:] == "0.00" else text


def is_negative(explained: Explained) -> bool:
    """Say whether what is explained is the absence of a finding."""
    return explained.package.finding(explained.attribution.target).negative


def caption(explained: Explained) -> str:
    """Return what stands over the explanation."""
    if explained.attribution.lies_nowhere:
        return "No map is shown"
    if explained.attribution.estimate.values is not None:
        return "What each region did"
    return "What spoke for it" if is_negative(explained) else "Where the model looked"


def headline(explained: Explained) -> str:
    """Return finding and calibrated confidence."""
    finding = explained.package.finding(explained.prediction.target)
    confidence = percent(explained.prediction.confidence)
    if explained.prediction.confidence < explained.prediction.threshold(finding):
        return f"No finding above its threshold (highest: {finding.words}, {confidence})"
    where = "" if explained.unit is None else " in this slice"
    return f"{finding.words}, calibrated confidence {confidence}{where}"


def explained_confidence(explained: Explained) -> float:
    """Return the calibrated probability of the finding that is explained."""
    prediction = explained.prediction
    if explained.attribution.target == prediction.target:
        return prediction.confidence
    name = explained.package.finding(explained.attribution.target).name
    return prediction.scores.get(name, 0.0)


def target_remark(explained: Explained) -> str:
    """Say so where another finding than the winning one is explained, "" where it is not."""
    if explained.attribution.target == explained.prediction.target:
        return ""
    label = explained.package.finding(explained.attribution.target).words
    score = percent(explained_confidence(explained))
    return f"Explained is another finding than the winning one: {label} ({score})"


def confidence_remark(explained: Explained) -> str:
    """Say so where the confidence is low, "" where it is not."""
    package, prediction = explained.package, explained.prediction
    finding = package.finding(prediction.target)
    threshold = prediction.threshold(finding)
    if prediction.confidence < threshold:
        whose = "site's " if finding.name in prediction.thresholds else ""
        return (
            f"Low confidence: under the {whose}threshold of {percent(threshold)}, "
            "not counted as present"
        )
    if prediction.confidence < package.calibration.audit_below:
        return f"Low confidence: under this model's limit of {percent(package.calibration.audit_below)}"
    return ""


def site_line(explained: Explained) -> str:
    """Say where the site's own threshold holds for what is explained; "" where the model's does."""
    finding = explained.package.finding(explained.attribution.target)
    own = explained.prediction.thresholds.get(finding.name)
    if own is None:
        return ""
    return f"Site threshold {percent(own)} (the model's: {percent(finding.threshold)})"


def is_contradicting(explained: Explained) -> bool:
    """Say whether this is an audit that contradicts the fast map, whose picture went before it."""
    return explained.fast is not None and contradicts(explained.attribution.quality)


def precision(attribution: Attribution, player: int) -> str:
    """Return "(exact)" or the standard error of one player's value."""
    errors = attribution.estimate.standard_errors
    if attribution.estimate.exact or errors is None:
        return "(exact)" if attribution.estimate.exact else ""
    return f"\u00b1 {float(errors[player]):.2f}"


def lower_first(label: str) -> str:
    """Lower the first letter unless the word is an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def others_line(explained: Explained) -> str:
    """Return what else the model considered, likeliest first."""
    package, prediction = explained.package, explained.prediction
    labels = {finding.name: finding.words for finding in package.findings}
    others = sorted(
        (
            (score, name)
            for name, score in prediction.scores.items()
            if name != prediction.finding and name in labels
        ),
        reverse=True,
    )
    return ", ".join(f"{labels[name]} {percent(score)}" for score, name in others[:_MOST_OTHERS])


def source_line(source: Source) -> str:
    """Name the source as viewers do: series, instance, frame."""
    series = source.text("SeriesNumber") or "without number"
    instance = source.text("InstanceNumber") or "without number"
    frame = f", frame {source.frame} of {source.frames}" if source.frames > 1 else ""
    return f"Series {series}, instance {instance}{frame}"


def time_line(explained: Explained) -> str:
    """Return when the job was placed, UTC."""
    return moment(explained.job.placed_at)


def moment(at: float) -> str:
    """Write a time, seconds since 1970, as people do."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def reason_line(explained: Explained) -> str:
    """Return the urgency and what decided it; for an audit, why it was made."""
    job = explained.job
    if job.path is JobPath.AUDIT:
        return f"Audit: {job.rule}"
    return job.reason


def taken_line(attribution: Attribution) -> str:
    """Say that the values were computed for an earlier copy of the image, and by which job."""
    if not attribution.taken_from:
        return ""
    return f"Values of the audit {attribution.taken_from} of the same image, not computed again"


def demonstration_remark(explained: Explained) -> str:
    """Say that the model claims nothing, and why; "" of one that does."""
    why = explained.package.demonstration
    return f"Demonstration: {why}. Nothing is claimed of this answer" if why else ""


def limits_line(explained: Explained) -> str:
    """Return how explanations by this method are known to mislead, as the model's package says."""
    known = explained.package.explanation.failure_modes
    return " ".join((*known.get(explained.attribution.method, ()), *known.get("any", ())))


def cell_line(attribution: Attribution, spacing: tuple[float, float] | None) -> str:
    """Return the size of one cell of the map: how fine it can be."""
    rows, columns = attribution.cell_pixels
    if rows <= 0 or columns <= 0:
        return ""
    if spacing is None or min(spacing) <= 0:
        return f"{columns:.0f} x {rows:.0f} pixels (width x height)"
    return f"{columns * spacing[1]:.0f} x {rows * spacing[0]:.0f} mm (width x height)"


def _residual(value: float) -> str:
    """Return a tiny number without pretended digits."""
    return "0" if value == 0 else f"{value:.0e}"


def trust_line(attribution: Attribution) -> str:
    """Return what the audit says about itself: evaluations, residual, agreement."""
    parts = []
    if attribution.estimate.values is not None:
        parts.append(f"{attribution.estimate.evaluations} evaluations")
        if attribution.link:
            parts.append(
                f"values add up from {attribution.v_empty:.2f} (no region) "
                f"to {attribution.v_full:.2f} (all regions), "
                f"residual {_residual(attribution.completeness_residual)}"
            )
    agreement = attribution.quality.get("agreement")
    if agreement is not None:
        parts.append(f"agreement with the fast map {agreement:.2f}")
    return ", ".join(parts)


_SHORT = {
    "faithfulness": {
        "deletion": "deletion {0:+.2f}",
        "insertion": "insertion {0:+.2f} against random orders",
        "sensitivity_n": "sensitivity-n {0:.2f}",
    },
    "plausibility": {
        "border_mass": "{1:.0f} % at the border",
        "sparseness": "sparseness {0:.2f}",
    },
    "robustness": {
        "agreement_baseline": "another baseline {0:.2f}",
        "stability_adversarial": "changes of 5 % {0:.2f}",
    },
}
"""Of the four blocks of quality what fits into a line; cost and agreement stand above it."""


def quality_line(attribution: Attribution) -> str:
    """Return the measured quality in short, block by block; "" where nothing was measured."""
    parts = []
    for block, metrics in _SHORT.items():
        said = [
            text.format(attribution.quality[name], 100 * attribution.quality[name])
            for name, text in metrics.items()
            if name in attribution.quality
        ]
        if said:
            parts.append(f"{block}: {', '.join(said)}")
    return "; ".join(parts).replace("-0", "\u22120")
