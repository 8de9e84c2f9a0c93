"""The measured quality of an attribution: which metric applies, and to what."""

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

FAST_STEP = 0.02
"""Differences of the fast map's means below this share of the highest count as none."""


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


def quality_of_map(cells: FloatMap, source_map: FloatMap) -> dict[str, float]:
    """Measure a map that costs no further evaluation.

    Parameters
    ----------
    cells : array, shape (h, w) or (n,)
        As the method made it, not zero everywhere.
    source_map : array, shape (rows, columns)
        The same in source pixels.

    Returns
    -------
    dict of str to float
        Without ``border_mass`` where nothing of the map lies in the source frame.
    """
    quality = {"entropy": entropy(cells), "sparseness": sparseness(cells)}
    if source_map.any():
        quality["border_mass"] = border_mass(source_map)
    return quality


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


def _curves(
    suffix: str, order: PlayerValues, random: PlayerValues, game: Game
) -> dict[str, float | None]:
    coming = prefixes(order)
    by_chance = area(random)
    return {
        f"deletion{suffix}": area(game.value(~coming)) - by_chance,
        f"insertion{suffix}": area(game.value(coming)) - by_chance,
    }
