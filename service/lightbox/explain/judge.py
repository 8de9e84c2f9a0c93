"""The measured quality of an attribution, and the sentences that its picture must carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, LabelMap, PlayerValues
from lightbox.domain.attribution import Attribution, Estimate
from lightbox.explain.quality.agreement import (
    in_steps,
    rank_correlation,
    region_means,
    top_overlap,
)
from lightbox.explain.quality.border import border_mass
from lightbox.explain.quality.complexity import entropy, sparseness
from lightbox.explain.quality.deletion_insertion import area, mean_by_size, prefixes
from lightbox.explain.quality.sensitivity_n import kept_halves, sensitivity_n
from lightbox.ports import Game

BORDER_LIMIT = 0.5
"""Border mass from which the picture says so; an even map has 0.36."""

AGREEMENT_LIMIT = 0.2
"""Rank correlation of fast map and audit under which the picture says that they disagree."""

SENSITIVITY_LIMIT = 0.3
"""Sensitivity-n under which the values say little about taking several regions away."""

FAST_STEP = 0.02
"""Differences of the fast map's means below this share of the highest count as none."""

BASELINE_SHARE = 0.8
"""Share of v(N) that is there without any region, from which the picture says so."""


@dataclass(frozen=True, slots=True)
class Played:
    """What an audit has at its end: the values and everything around them.

    Attributes
    ----------
    finding : str
        Words for the target on the picture.
    names : tuple of str
        Where each region lies in the picture.
    resolution : float
        Differences of v below this count as none.
    table : tuple of arrays
        Coalitions that the method asked for, shape (m, n), and their v, shape (m,).
    occlusion : array, shape (n,)
        v(N) - v(N without i).
    fast_means : array, shape (n,), or None
        Mean of the fast map in each region.
    """

    finding: str
    names: tuple[str, ...]
    link: str
    resolution: float
    seed: int
    estimate: Estimate
    values: PlayerValues
    v_empty: float
    v_full: float
    occlusion: PlayerValues
    table: tuple[CoalitionMatrix, PlayerValues]
    fast_means: PlayerValues | None

    @property
    def is_flat(self) -> bool:
        """True where no region matters: there is nothing to share out."""
        between = abs(self.v_full - self.v_empty)
        return max(between, float(np.abs(self.values).max())) < self.resolution

    def further_coalitions(self) -> CoalitionMatrix:
        """Coalitions that :func:`quality_of_values` will look up."""
        orders = [self.values] if self.fast_means is None else [self.values, self.fast_means]
        curves = [prefixes(order) for order in orders]
        rows = [*curves, *(~curve for curve in curves), kept_halves(self.values.size, self.seed)]
        return np.concatenate(rows)


def fast_means_of(
    fast: Attribution | None, players: LabelMap, n_players: int
) -> PlayerValues | None:
    """Mean of the fast map in each region, or None where there is no fast map."""
    return region_means(fast.source_map, players, n_players) if fast else None


def quality_of_map(cells: FloatMap, source_map: FloatMap) -> tuple[dict[str, float], list[str]]:
    """Measure a map that costs no further evaluation, and find the words for it.

    Parameters
    ----------
    cells : array, shape (h, w) or (n,)
        As the method made it, not zero everywhere.
    source_map : array, shape (rows, columns)
        The same in source pixels.
    """
    quality = {"entropy": entropy(cells), "sparseness": sparseness(cells)}
    warnings = []
    if source_map.any():
        quality["border_mass"] = border_mass(source_map)
        if quality["border_mass"] > BORDER_LIMIT:
            warnings.append(
                f"{quality['border_mass']:.0%} of the map lies at the border of the picture."
            )
    else:
        warnings.append("The map lies outside of the picture, in the padding around it.")
    return quality, warnings


def quality_of_values(played: Played, game: Game) -> dict[str, float]:
    """Measure an audit from v(S) that are already computed (:meth:`Played.further_coalitions`)."""
    found: dict[str, float | None] = {}
    random = mean_by_size(*played.table)
    if random is not None:
        found |= _curves("", played.values, random, game)
        if played.fast_means is not None:
            found |= _curves("_fast_map", played.fast_means, random, game)
    kept = kept_halves(played.values.size, played.seed)
    found["sensitivity_n"] = sensitivity_n(played.values, kept, game.value(kept), played.v_full)
    if not played.is_flat:
        alone = in_steps(played.occlusion, played.resolution)
        together = in_steps(played.values, played.resolution)
        found["agreement_occlusion"] = rank_correlation(together, alone)
    if played.fast_means is not None and not played.is_flat:
        found["agreement"] = _agreement(played, played.fast_means)
        found["agreement_top"] = top_overlap(played.fast_means, played.values)
    return {name: value for name, value in found.items() if value is not None}


def _agreement(played: Played, fast_means: PlayerValues) -> float | None:
    """Rank correlation; regions that differ by less than the resolution share a rank."""
    highest = float(np.abs(fast_means).max())
    if highest == 0.0:
        return None
    return rank_correlation(
        in_steps(fast_means, FAST_STEP * highest), in_steps(played.values, played.resolution)
    )


def _probability(value: float, link: str) -> float:
    """Turn v into what people read."""
    return value if link == "probability" else float(1.0 / (1.0 + np.exp(-value)))


def _disagreement(played: Played, agreement: float) -> str:
    assert played.fast_means is not None
    fast, audit = int(played.fast_means.argmax()), int(played.values.argmax())
    places = f"{played.names[fast]} against {played.names[audit]}, "
    return (
        "The fast map and the audit disagree about the regions "
        f"({places if fast != audit else ''}rank correlation {agreement:.2f})."
    )


def _curves(
    suffix: str, order: PlayerValues, random: PlayerValues, game: Game
) -> dict[str, float | None]:
    coming = prefixes(order)
    by_chance = area(random)
    return {
        f"deletion{suffix}": area(game.value(~coming)) - by_chance,
        f"insertion{suffix}": area(game.value(coming)) - by_chance,
    }


def warnings_of_values(played: Played, quality: dict[str, float]) -> list[str]:
    """Sentences that an audit's picture must carry."""
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
    if quality.get("agreement", 1.0) < AGREEMENT_LIMIT:
        found.append(_disagreement(played, quality["agreement"]))
    if quality.get("sensitivity_n", 1.0) < SENSITIVITY_LIMIT:
        found.append(
            "Low faithfulness: the values say little about hiding several regions at once."
        )
    return found
