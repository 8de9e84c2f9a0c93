"""Estimators of Shapley values of other packages, on games whose exact values are known.

None of them is a dependency: who wants the comparison installs them beside Lightbox
(``pip install captum shap shapiq``); what is not installed is left out of the answer.

Traps: captum's KernelShap draws unpaired with replacement and asks one coalition a call; shap's
KernelExplainer keeps ten features unless told otherwise; shapiq counts a budget, not calls.
What counts here is how many different coalitions were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues

Trace: TypeAlias = tuple[tuple[int, float], ...]
"""(evaluations, error) of estimates with more and more evaluations."""

LARGEST = 2_500
"""Largest budget that is tried."""

GROWTH = 1.2
"""Budgets grow from 4 n + 2 by a fifth: as finely are evaluations counted."""


class CountingGame(Protocol):
    """A game that counts and knows the answer."""

    n_players: int
    asked: set[int]

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row."""
        ...

    def error(self, values: PlayerValues) -> float:
        """Return the error of an estimate."""
        ...


Estimate: TypeAlias = Callable[[Any, int, int], PlayerValues]
"""(game, budget, seed) → values."""


def installed_peers() -> dict[str, Callable[[Any, int], Iterator[tuple[int, float]]]]:
    """Return the estimators of the packages that can be imported, by name."""
    return {
        name: trace_of(estimate)
        for name, (module, estimate) in _PEERS.items()
        if find_spec(module) is not None
    }


def budgets(n_players: int) -> list[int]:
    """Return growing budgets, up to all coalitions or the largest."""
    most, found, budget = min((1 << n_players) - 2, LARGEST), [], 4.0 * n_players + 2
    while budget < most:
        found.append(int(budget))
        budget *= GROWTH
    return found


def trace_of(estimate: Estimate) -> Callable[[Any, int], Iterator[tuple[int, float]]]:
    """Return a contestant: it yields evaluations and error for each budget."""

    def trace(game: CountingGame, seed: int) -> Iterator[tuple[int, float]]:
        for budget in budgets(game.n_players):
            game.asked.clear()
            values = estimate(game, budget, seed)
            yield len(game.asked), game.error(values)

    return trace


def _captum(game: CountingGame, budget: int, seed: int) -> PlayerValues:
    from importlib import import_module

    torch: Any = import_module("torch")
    kernel: Any = import_module("captum.attr").KernelShap
    torch.manual_seed(seed)

    def forward(rows: Any) -> Any:  # noqa: ANN401  # a tensor of a package that may be absent
        return torch.from_numpy(game.value(rows.numpy() > 0.5))

    ones = torch.ones((1, game.n_players))
    found = kernel(forward).attribute(ones, baselines=torch.zeros_like(ones), n_samples=budget)
    values: PlayerValues = found.numpy()[0].astype(np.float64)
    return values


def _shap(game: CountingGame, budget: int, seed: int) -> PlayerValues:
    from importlib import import_module

    explainer: Any = import_module("shap").KernelExplainer
    np.random.seed(seed)  # noqa: NPY002  # shap draws from numpy's global generator
    made = explainer(lambda rows: game.value(rows > 0.5), np.zeros((1, game.n_players)))
    found = made.shap_values(np.ones((1, game.n_players)), nsamples=budget, l1_reg=0.0, silent=True)
    values: PlayerValues = np.asarray(found, dtype=np.float64).reshape(-1)
    return values


def _shapiq(game: CountingGame, budget: int, seed: int) -> PlayerValues:
    from importlib import import_module

    approximator: Any = import_module("shapiq").KernelSHAP
    made = approximator(n=game.n_players, random_state=seed)
    found = made.approximate(budget=budget, game=lambda rows: game.value(np.asarray(rows, bool)))
    values: PlayerValues = np.array([found[(player,)] for player in range(game.n_players)])
    return values


_PEERS: Mapping[str, tuple[str, Estimate]] = {
    "captum KernelShap": ("captum", _captum),
    "shap KernelExplainer": ("shap", _shap),
    "shapiq KernelSHAP": ("shapiq", _shapiq),
}
