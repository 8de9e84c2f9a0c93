"""Estimators of Shapley values of other packages, on games whose exact values are known.

None of them is a dependency: ``make bench-peers`` installs them apart; what is not installed is left
out of the answer. Each gets the options that serve it best.

Traps: captum's KernelShap draws unpaired with replacement; shap's KernelExplainer keeps ten features
unless told otherwise; shapiq pairs only where it is told to, and counts a budget, not calls.
What counts here is how many different coalitions were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues

Trace: TypeAlias = tuple[tuple[int, float], ...]
"""(evaluations, error) of estimates with more and more evaluations."""

GROWTH = 1.25
"""Budgets grow from 4 n + 2 by a quarter: as finely are evaluations counted."""


class CountingGame(Protocol):
    """A game that counts and knows the answer."""

    n_players: int
    asked: set[bytes]

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row."""
        ...

    def error(self, values: PlayerValues) -> float:
        """Return the error of an estimate."""
        ...


Estimate: TypeAlias = Callable[[Any, int, int], PlayerValues]
"""(game, budget, seed) → values."""


def installed_peers() -> dict[str, Estimate]:
    """Return the estimators of the packages that can be imported, by name."""
    return {
        name: estimate
        for name, (module, estimate) in _PEERS.items()
        if find_spec(module) is not None and find_spec("torch" if "captum" in name else module)
    }


def budgets(n_players: int, largest: int) -> list[int]:
    """Return growing budgets, up to all coalitions or the largest."""
    most, found, budget = min((1 << n_players) - 2, largest), [], 4.0 * n_players + 2
    while budget < most:
        found.append(int(budget))
        budget *= GROWTH
    return [*found, most]


def trace_of(estimate: Estimate, game: CountingGame, sizes: Sequence[int], seed: int) -> Trace:
    """Run an estimator with each budget; return how much it asked for and how far off it was."""
    found = []
    for budget in sizes:
        game.asked.clear()
        values = estimate(game, budget, seed)
        found.append((len(game.asked), game.error(values)))
    return tuple(found)


def _captum(method: str) -> Estimate:
    def estimate(game: CountingGame, budget: int, seed: int) -> PlayerValues:
        torch: Any = import_module("torch")
        torch.manual_seed(seed)

        def forward(rows: Any) -> Any:  # noqa: ANN401  # a tensor of a package that may be absent
            return torch.from_numpy(game.value(rows.numpy() > 0.5))

        ones = torch.ones((1, game.n_players))
        made: Any = getattr(import_module("captum.attr"), method)(forward)
        # Its sampling counts permutations of n evaluations each.
        samples = budget if method == "KernelShap" else max(1, budget // game.n_players)
        found = made.attribute(
            ones, baselines=torch.zeros_like(ones), n_samples=samples, perturbations_per_eval=64
        )
        values: PlayerValues = found.numpy()[0].astype(np.float64)
        return values

    return estimate


def _shap(game: CountingGame, budget: int, seed: int) -> PlayerValues:
    explainer: Any = import_module("shap").KernelExplainer
    np.random.seed(seed)  # noqa: NPY002  # shap draws from numpy's global generator
    made = explainer(lambda rows: game.value(rows > 0.5), np.zeros((1, game.n_players)))
    found = made.shap_values(np.ones((1, game.n_players)), nsamples=budget, l1_reg=0.0, silent=True)
    values: PlayerValues = np.asarray(found, dtype=np.float64).reshape(-1)
    return values


def _permutations(game: CountingGame, budget: int, seed: int) -> PlayerValues:
    explainer: Any = import_module("shap").PermutationExplainer
    n = game.n_players
    made = explainer(lambda rows: game.value(rows > 0.5), np.zeros((1, n)), seed=seed)
    found = made(np.ones((1, n)), max_evals=max(budget, 2 * n + 1), silent=True)
    values: PlayerValues = np.asarray(found.values, dtype=np.float64).reshape(-1)
    return values


def _shapiq(game: CountingGame, budget: int, seed: int) -> PlayerValues:
    approximator: Any = import_module("shapiq").KernelSHAP
    made = approximator(n=game.n_players, random_state=seed, pairing_trick=True)
    found = made.approximate(budget=budget, game=lambda rows: game.value(np.asarray(rows, bool)))
    values: PlayerValues = np.array([found[(player,)] for player in range(game.n_players)])
    return values


_PEERS: Mapping[str, tuple[str, Estimate]] = {
    "captum KernelShap": ("captum", _captum("KernelShap")),
    "captum ShapleyValueSampling": ("captum", _captum("ShapleyValueSampling")),
    "shap KernelExplainer, no l1": ("shap", _shap),
    "shap PermutationExplainer": ("shap", _permutations),
    "shapiq KernelSHAP, paired": ("shapiq", _shapiq),
}
