"""Shapley values of regions: exact where all coalitions fit the budget, else estimated.

The estimate is a weighted least-squares regression on complementary pairs without replacement,
helped by odd parities once there are evaluations to spare (``odd_regression.py``). It stops when
half the 95 % interval of every value is below the tolerance, and says so when it could not.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix
from lightbox.domain.attribution import Estimate
from lightbox.domain.errors import ExplanationError
from lightbox.explain.plugin import Budget, GameMethod, MethodCard
from lightbox.explain.shapley_values.enumeration import MOST_PLAYERS, enumerated
from lightbox.explain.shapley_values.odd_regression import Answer, Pairs, fits
from lightbox.explain.shapley_values.pair_plan import pair_plan
from lightbox.ports import Game

CARD = MethodCard(
    name="shapley",
    family="Shapley values",
    paper=(
        "Covert & Lee 2021, arXiv 2012.01536; Musco & Witter 2025, arXiv 2410.01917; "
        "Fumagalli et al. 2026, arXiv 2602.01399"
    ),
    needs="forward passes",
    cost="2^n where that fits the budget, else until the tolerance is met",
    axioms=("efficiency", "symmetry", "dummy", "linearity"),
    note=(
        "after OddSHAP, whose boosted tree is replaced by a search of the residual's Walsh "
        "spectrum; axioms but efficiency hold up to the stated errors where it is an estimate"
    ),
)

_PAIRS_PER_PLAYER = 2
"""Of the first fit."""

_NORMAL_95 = 1.96


class Shapley:
    """Enumerates or estimates, and says which; implements ``ports.Explainer``."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def refine(self, game: Game) -> Iterator[Estimate]:
        """Yield after every chunk.

        Parameters
        ----------
        game : Game
            What is asked.

        Yields
        ------
        Estimate
            Where it estimates: the last fit, with errors; ``values`` is None before the first.

        Raises
        ------
        ExplanationError
            If the budget does not even allow the first fit.
        """
        n, most = game.n_players, self._budget.max_evaluations
        if n <= MOST_PLAYERS and 1 << n <= most:
            yield from enumerated(game, self._budget.chunk)
            return
        least = 2 * _PAIRS_PER_PLAYER * n + 2
        if most < least:
            raise ExplanationError(
                f"{n} regions",
                f"{most} evaluations are too few for an estimate",
                f"allow at least {least} under [audit] max_evaluations, or use fewer regions",
            )
        yield from _Estimation(game, self._budget).run()


class _Estimation:
    """One estimate under way: ask for pairs of the plan, fit, decide how many more."""

    def __init__(self, game: Game, budget: Budget) -> None:
        self._game, self._budget = game, budget
        self._plan = pair_plan(game.n_players, (budget.max_evaluations - 2) // 2, budget.seed)
        self._odd = np.empty(0)
        self._last = Estimate(total=2 * len(self._plan) + 2, converged=False)

    def run(self) -> Iterator[Estimate]:
        n = self._game.n_players
        ends = self._game.value(np.array([[False] * n, [True] * n]))
        total = float(ends[1] - ends[0])
        wanted = _PAIRS_PER_PLAYER * n
        while True:
            yield from self._ask(wanted)
            answer = yield from self._fit(Pairs(self._plan[:wanted], self._odd, total))
            reached = _NORMAL_95 * float(answer.standard_errors.max())
            goal = self._budget.tolerance * max(
                float(np.ptp(answer.values)), self._budget.resolution
            )
            self._last = replace(
                self._last,
                values=answer.values,
                standard_errors=answer.standard_errors,
                converged=reached <= goal,
            )
            if self._last.converged or wanted == len(self._plan):
                break
            wanted = _next_size(wanted, n, reached / goal, len(self._plan))
        yield self._last

    def _fit(self, pairs: Pairs) -> Generator[Estimate, None, Answer]:
        """Fit, and let whoever drives this pause between two rounds of the search."""
        answer = Answer(np.empty(0), np.empty(0))
        for fit in fits(pairs):
            yield self._last
            answer = fit.answer()
        return answer

    def _ask(self, wanted: int) -> Iterator[Estimate]:
        """Have the plan evaluated up to ``wanted`` pairs; the last estimate stands meanwhile."""
        step = max(1, self._budget.chunk // 2)
        while len(self._odd) < wanted:
            rows: CoalitionMatrix = self._plan[len(self._odd) : min(len(self._odd) + step, wanted)]
            values = self._game.value(np.concatenate([rows, ~rows]))
            more = (values[: len(rows)] - values[len(rows) :]) / 2.0
            self._odd = np.concatenate([self._odd, more])
            self._last = replace(self._last, evaluations=2 * len(self._odd) + 2)
            yield self._last


def _next_size(pairs: int, n_players: int, excess: float, most: int) -> int:
    """As many pairs as the square-root law asks for, at most twice as many, at least a few more."""
    grown = int(pairs * min(2.0, max(1.15, excess**2)))
    return min(most, max(pairs + n_players, grown))


METHOD = GameMethod(CARD, Shapley)
