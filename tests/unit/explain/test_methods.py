from __future__ import annotations

import numpy as np
import pytest

from contracts.explainer import (
    ExplainerContract,
    ShapleyContract,
    TableGame,
    a_random_game,
    last_of,
    shapley_by_definition,
)
from lightbox.domain.errors import ExplanationError
from lightbox.explain.methods import grad_cam, occlusion, shapley, shapley_exact
from lightbox.explain.plugin import Budget
from lightbox.explain.shapley_values.enumeration import shapley_of_table
from lightbox.ports import Output


class TestShapleyExact(ShapleyContract):
    method = shapley_exact.METHOD


class TestShapleyWhereAllCoalitionsFitTheBudget(ShapleyContract):
    method = shapley.METHOD


class TestShapleyAsAnEstimate(ShapleyContract):
    method = shapley.METHOD
    budget = Budget(chunk=16, max_evaluations=200)
    players = 9


class TestOcclusion(ExplainerContract):
    method = occlusion.METHOD
    budget = Budget(chunk=4)


@pytest.mark.parametrize("players", [1, 2, 3, 6])
def test_enumeration_gives_what_the_definition_says(players: int) -> None:
    game = a_random_game(players, 7)
    found = last_of(shapley_exact.METHOD, game, Budget(chunk=7))
    assert found.exact
    assert found.standard_errors is not None
    assert found.values == pytest.approx(shapley_by_definition(game), abs=1e-12)
    assert not found.standard_errors.any()


def test_before_the_last_coalition_enumeration_claims_no_values() -> None:
    *early, last = shapley_exact.METHOD.explainer(Budget(chunk=5)).refine(a_random_game(4, 0))
    assert [estimate.evaluations for estimate in early] == [5, 10, 15]
    assert all(e.values is None and not e.converged and not e.exact for e in early)
    assert last.converged


def test_enumeration_refuses_too_many_players_and_says_what_to_do() -> None:
    wide = TableGame(np.zeros(2))
    wide.n_players = 21
    with pytest.raises(ExplanationError, match="use the method shapley"):
        next(shapley_exact.METHOD.explainer(Budget()).refine(wide))


def test_occlusion_is_the_fall_of_the_value_without_one_region() -> None:
    game = a_random_game(4, 5)
    found = last_of(occlusion.METHOD, game, Budget())
    assert found.values == pytest.approx([game.table[15] - game.table[15 - 2**i] for i in range(4)])
    assert found.evaluations == 5


def test_grad_cam_takes_the_map_of_the_graph() -> None:
    cells = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    found = grad_cam.METHOD.cells(Output(np.zeros((1, 2), np.float32), cells))
    assert found.cells is not None
    assert np.array_equal(found.cells, cells[0])
    assert found.converged


def test_grad_cam_refuses_a_graph_without_a_map() -> None:
    with pytest.raises(ExplanationError, match="target_layer"):
        grad_cam.METHOD.cells(Output(np.zeros((1, 2), np.float32)))


def test_shapley_enumerates_where_all_coalitions_fit_the_budget() -> None:
    game = a_random_game(6, 0)
    found = last_of(shapley.METHOD, game, Budget(max_evaluations=64))
    assert found.exact
    assert found.values == pytest.approx(shapley_by_definition(game), abs=1e-12)


def test_shapley_stops_when_the_tolerance_is_met_and_mostly_keeps_it() -> None:
    spent, kept = [], []
    for seed in range(8):
        game = a_random_game(12, seed)
        found = last_of(shapley.METHOD, game, Budget(tolerance=0.02, max_evaluations=4000))
        assert found.values is not None
        truth = shapley_of_table(game.table)
        assert found.converged
        assert not found.exact
        kept.append(np.abs(found.values - truth).max() <= 0.02 * np.ptp(truth))
        spent.append(found.evaluations)
    assert np.mean(kept) > 0.8
    assert np.median(spent) < 1000


def test_shapley_says_not_converged_at_the_end_of_its_budget() -> None:
    budget = Budget(tolerance=1e-4, max_evaluations=300)
    found = last_of(shapley.METHOD, a_random_game(12, 0), budget)
    assert not found.converged
    assert found.standard_errors is not None
    assert found.standard_errors.max() > 0
    assert found.evaluations <= 300


def test_shapley_does_not_resolve_what_is_below_the_resolution() -> None:
    game = a_random_game(12, 0)
    game.table *= 1e-4
    found = last_of(shapley.METHOD, game, Budget(max_evaluations=4000))
    assert found.converged
    assert found.evaluations == 2 * 24 + 2


def test_shapley_refuses_a_budget_that_allows_no_estimate() -> None:
    with pytest.raises(ExplanationError, match="at least 50 under"):
        last_of(shapley.METHOD, a_random_game(12, 0), Budget(max_evaluations=49))


def test_an_estimate_has_values_from_its_first_fit_on() -> None:
    budget = Budget(chunk=16, tolerance=0.02, max_evaluations=1000)
    estimates = list(shapley.METHOD.explainer(budget).refine(a_random_game(12, 3)))
    assert all(e.values is not None for e in estimates if e.evaluations > 50)
    assert [e.converged for e in estimates] == [False] * (len(estimates) - 1) + [True]
