"""Shapley values by enumeration of all 2^n coalitions, on request, whatever the budget says."""

from __future__ import annotations

from collections.abc import Iterator

from lightbox.domain.attribution import Estimate
from lightbox.explain.plugin import Budget, GameMethod, MethodCard
from lightbox.explain.shapley_values.enumeration import MOST_PLAYERS, enumerated
from lightbox.ports import Game

CARD = MethodCard(
    name="shapley_exact",
    family="Shapley values",
    paper="Shapley 1953; Lundberg & Lee 2017, arXiv 1705.07874",
    needs=f"forward passes; at most {MOST_PLAYERS} regions",
    cost="2^n",
    axioms=("efficiency", "symmetry", "dummy", "linearity"),
    note="no values before the last coalition",
)


class ShapleyExact:
    """Enumerates; implements ``ports.Explainer``."""

    def __init__(self, budget: Budget) -> None:
        self._chunk = budget.chunk

    def refine(self, game: Game) -> Iterator[Estimate]:
        """Yield after every chunk; only the last estimate has values."""
        yield from enumerated(game, self._chunk)


METHOD = GameMethod(CARD, ShapleyExact)
