"""The sentences that a picture must carry, so that nobody trusts it for more than it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lightbox.domain.attribution import Attribution
from lightbox.domain.audit import contradicts
from lightbox.explain.judge import Played

BORDER_LIMIT = 0.5
"""Border mass from which the picture says so; an even map has 0.36."""

EVEN_LIMIT = 0.1
"""Sparseness under which a map points nowhere: that of cells which differ by a third at most."""

SENSITIVITY_LIMIT = 0.3
"""Sensitivity-n under which the values say little about taking several regions away."""

BASELINE_AGREEMENT_LIMIT = 0.2
"""Rank correlation of two baselines' orders of the regions under which the picture says so."""

STABILITY_LIMIT = 0.2
"""Rank correlation of the fast map with itself under small changes under which it is unstable."""

INSISTED = "The site has it shown all the same."

BASELINE_SHARE = 0.8
"""Share of v(N) that is there without any region, from which the picture says so."""


def sentences_of_map(quality: Mapping[str, float]) -> list[str]:
    """Say where a map lies that should lie elsewhere, and that it lies nowhere."""
    if "border_mass" not in quality:
        return ["The map lies outside of the picture, in the padding around it."]
    found = []
    if quality["border_mass"] > BORDER_LIMIT:
        found.append(f"{quality['border_mass']:.0%} of the map lies at the border of the picture.")
    if quality["sparseness"] < EVEN_LIMIT and quality["entropy"] > 0.0:  # 0: one cell is all
        found.append("The map is nearly even: it points at no place of the picture.")
    return found


def sentences_of_values(played: Played, quality: Mapping[str, float]) -> list[str]:
    """Say what an audit found that a reader must know before looking at its picture."""
    without, whole = (_probability(value, played.link) for value in (played.v_empty, played.v_full))
    if played.is_flat:
        if float(np.ptp(played.table[1])) > 2.0 * played.resolution:
            return ["No region mattered on its own: the regions count only together."]
        stays = f"{played.finding} stays at {whole:.2f} whichever regions are hidden"
        return [f"No region mattered: {stays}."]
    found = []
    estimate, spread = played.estimate, float(np.ptp(played.values))
    if not estimate.converged and estimate.standard_errors is not None:
        error = 1.96 * float(estimate.standard_errors.max())
        found.append(
            f"Not converged after {estimate.evaluations} evaluations: values are uncertain by "
            f"{error:.3f}, they span {spread:.3f}."
        )
    if played.v_empty > played.v_full:
        found.append(
            f"The model is surer of {played.finding} with all regions hidden "
            f"({without:.2f}) than with the image ({whole:.2f})."
        )
    elif without > BASELINE_SHARE * whole:
        found.append(
            f"Of {whole:.2f} for {played.finding}, {without:.2f} remains with all regions hidden: "
            "the map explains the rest only."
        )
    if contradicts(quality):
        found.append(_disagreement(played, quality["agreement"]))
    if quality.get("agreement_baseline", 1.0) < BASELINE_AGREEMENT_LIMIT:
        found.append(
            "The order of the regions depends on what stands where a region is hidden "
            f"(rank correlation of two ways {quality['agreement_baseline']:.2f})."
        )
    if quality.get("stability_adversarial", 1.0) < STABILITY_LIMIT:
        found.append(
            "The fast map is not stable: changes of 5 % that keep the finding turn it "
            f"(rank correlation {quality['stability_adversarial']:.2f})."
        )
    if quality.get("sensitivity_n", 1.0) < SENSITIVITY_LIMIT:
        found.append(
            "Low faithfulness: the values say little about hiding several regions at once."
        )
    return found


def _disagreement(played: Played, agreement: float) -> str:
    assert played.fast_means is not None
    fast, audit = int(played.fast_means.argmax()), int(played.values.argmax())
    places = f"{played.names[fast]} against {played.names[audit]}, "
    return (
        "The fast map and the audit disagree about the regions "
        f"({places if fast != audit else ''}rank correlation {agreement:.2f})."
    )


def _probability(value: float, link: str) -> float:
    """Turn v into what people read."""
    return value if link == "probability" else float(1.0 / (1.0 + np.exp(-value)))


def as_shown(attribution: Attribution, not_shown: str, *, insists: bool) -> Attribution:
    """Return an explanation as the results may show it, with a sentence that says so.

    Numbers stay, in report and ledger; taken away is what would lie over the image.

    Parameters
    ----------
    attribution : Attribution
        As it was found.
    not_shown : str
        ``explanation.not_shown`` of the package; "" where its maps are fit to be shown.
    insists : bool
        Whether the site wants them nevertheless.
    """
    if not not_shown:
        return attribution
    if insists:
        sentence = f"The map is not fit to be shown, {not_shown}. {INSISTED}"
        return replace(attribution, warnings=(sentence, *attribution.warnings))
    return replace(
        attribution,
        source_map=np.zeros_like(attribution.source_map),
        players=None,
        warnings=(f"No map is shown: {not_shown}.", *attribution.warnings),
    )
