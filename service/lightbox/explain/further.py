"""What else an audit's evaluations answer: the contrast to the runner-up, interactions of pairs."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix
from lightbox.domain.attribution import Contrast, PairValues
from lightbox.domain.errors import ExplanationError
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.prediction import Prediction
from lightbox.explain.game import ImageGame
from lightbox.explain.plugin import Budget
from lightbox.explain.shapley_values.interactions import interactions_of_known, pairs_needed
from lightbox.explain.shapley_values.known import KnownPairs, shapley_of_known
from lightbox.explain.shapley_values.pair_plan import pair_plan


def rival_of(package: ModelPackage, prediction: Prediction) -> int:
    """Return the most probable finding beside the one that is explained; -1 where none is known."""
    names = [finding.name for finding in package.findings]
    others = [
        (prediction.scores[name], -index)
        for index, name in enumerate(names)
        if index != prediction.target and name in prediction.scores
    ]
    return -max(others)[1] if others else -1


def contrast_of(game: ImageGame, rival: int) -> Contrast | None:
    """Share p(target) - p(rival) out, from the coalitions that were asked for already.

    Returns
    -------
    Contrast or None
        None where they do not suffice.
    """
    known = KnownPairs.among(*game.contrast_table()) if rival >= 0 else None
    answer = shapley_of_known(known) if known else None
    if known is None or answer is None:
        return None
    return Contrast(rival, *answer, known.v_empty, known.v_full)


def interaction_coalitions(n_players: int, budget: Budget) -> CoalitionMatrix:
    """Return the coalitions that interactions need: the beginning of the estimator's own plan.

    Raises
    ------
    ExplanationError
        If the budget does not allow them.
    """
    needed = pairs_needed(n_players)
    if 2 * needed + 2 > budget.max_evaluations:
        raise ExplanationError(
            f"interactions of {n_players} regions",
            f"need {2 * needed + 2} evaluations, {budget.max_evaluations} are allowed",
            "allow more under [audit] max_evaluations, or use fewer regions",
        )
    rows = pair_plan(n_players, (budget.max_evaluations - 2) // 2, budget.seed)[:needed]
    return np.concatenate([rows, ~rows])


def interactions_of(game: ImageGame) -> PairValues | None:
    """Return the interactions of all pairs of regions, from the coalitions that were asked for."""
    known = KnownPairs.among(*game.table())
    found = interactions_of_known(known) if known else None
    return PairValues(found.values, found.standard_errors) if found else None
