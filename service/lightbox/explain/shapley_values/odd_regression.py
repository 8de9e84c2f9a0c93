"""Shapley values and their standard errors from complementary pairs, by weighted least squares.

With single players alone this is KernelSHAP's regression on pairs (Covert & Lee 2021,
arXiv 2012.01536); further odd parities take away what singles cannot explain
(Fumagalli et al. 2026, arXiv 2602.01399).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.explain.shapley_values.least_squares import ConstrainedFit, Rows
from lightbox.explain.shapley_values.pair_plan import regression_weights
from lightbox.explain.shapley_values.parities import parities, shares, strongest

EVALUATIONS_PER_TERM = 3
"""Of the evaluations beyond those that single players need."""

EVALUATIONS_PER_PLAYER = 12
"""So many evaluations per player go to single players before the first further parity."""

MOST_TERMS = 600
"""Bounds memory and time of a fit; more evaluations then lower the error as a sample does."""

RIDGE = 3e-3
"""Penalty of the parities that were chosen on the data they are fitted to."""

_ROUNDS = 3


class Answer(NamedTuple):
    """Values and standard errors, each of shape (n_players,)."""

    values: PlayerValues
    standard_errors: PlayerValues


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was seen.

    Attributes
    ----------
    rows : array, shape (m, n)
        One coalition of each complementary pair: the beginning of a plan.
    odd : array, shape (m,)
        (v(S) - v(complement of S)) / 2.
    total : float
        v(N) - v(empty), which the values add up to exactly.
    """

    rows: CoalitionMatrix
    odd: PlayerValues
    total: float


def fits(pairs: Pairs) -> Iterator[Fit]:
    """Estimate Shapley values: single players, then as many parities as the pairs can bear.

    Parameters
    ----------
    pairs : Pairs
        What was seen.

    Yields
    ------
    Fit
        Better ones as the search goes on; the last is the answer, the others are there so that
        whoever drives this can pause.
    """
    n = pairs.rows.shape[1]
    evaluations = 2 * len(pairs.rows) + 2
    spare = (evaluations - EVALUATIONS_PER_PLAYER * n) // EVALUATIONS_PER_TERM
    further = max(0, min(spare, MOST_TERMS - n))
    weights, undrawn = regression_weights(pairs.rows)
    sets: CoalitionMatrix = np.eye(n, dtype=np.bool_)
    fit = Fit(pairs, sets, weights, undrawn)
    yield fit
    for turn in range(_ROUNDS):
        count = further // _ROUNDS + (turn < further % _ROUNDS)
        if count:
            new = strongest(pairs.rows, weights * fit.residual, sets, count)
            sets = np.concatenate([sets, new])
            fit = Fit(pairs, sets, weights, undrawn)
            yield fit


class Fit:
    """One constrained weighted least-squares fit of the odd part by parities.

    Parameters
    ----------
    pairs : Pairs
        What was seen.
    sets : array, shape (k, n)
        The parities; the first n are the single players.
    weights : array, shape (m,)
        Of the regression.
    undrawn : array, shape (m,)
        Finite-population factors; both as from :func:`lightbox.explain.shapley_values.pair_plan.regression_weights`.
    """

    def __init__(
        self,
        pairs: Pairs,
        sets: CoalitionMatrix,
        weights: PlayerValues,
        undrawn: PlayerValues,
    ) -> None:
        self._sets = sets
        penalty = np.where(sets.sum(axis=1) == 1, 1e-9, RIDGE)
        # Efficiency: all coefficients add up to -total / 2.
        self._fit = ConstrainedFit(
            Rows(parities(pairs.rows, sets), pairs.odd, weights, undrawn), penalty, -pairs.total / 2
        )
        self.residual: PlayerValues = self._fit.residual

    def answer(self) -> Answer:
        """Return Shapley values, and HC3 standard errors with the finite-population factor."""
        matrix = shares(self._sets)
        return Answer(matrix @ self._fit.coefficients, self._fit.errors(matrix))
