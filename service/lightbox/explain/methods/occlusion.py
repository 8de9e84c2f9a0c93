"""Occlusion: how much the value falls when one region alone is taken away."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lightbox.domain.attribution import Estimate
from lightbox.explain.plugin import Budget, GameMethod, MethodCard
from lightbox.ports import Game

CARD = MethodCard(
    name="occlusion",
    family="perturbation",
    paper="Zeiler & Fergus 2014, arXiv 1311.2901",
    needs="forward passes",
    cost="n + 1",
    axioms=("symmetry", "dummy", "linearity"),
    note="the package's regions and baseline in place of a sliding grey square",
)


class Occlusion:
    """v(N) - v(N without i) of every region; implements ``ports.Explainer``."""

    def __init__(self, budget: Budget) -> None:
        self._chunk = budget.chunk

    def refine(self, game: Game) -> Iterator[Estimate]:
        """Yield after every chunk; only the last estimate has values."""
        n = game.n_players
        rows = np.ones((n + 1, n), dtype=np.bool_)
        rows[np.arange(1, n + 1), np.arange(n)] = False
        found = np.empty(n + 1)
        for start in range(0, n + 1, self._chunk):
            stop = min(start + self._chunk, n + 1)
            found[start:stop] = game.value(rows[start:stop])
            if stop <= n:
                yield Estimate(evaluations=stop, total=n + 1, converged=False)
        yield Estimate(
            values=found[0] - found[1:],
            standard_errors=np.zeros(n),
            evaluations=n + 1,
            total=n + 1,
        )


METHOD = GameMethod(CARD, Occlusion)
