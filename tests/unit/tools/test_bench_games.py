from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.explainer import TableGame as PlainGame
from contracts.explainer import shapley_by_definition
from lightbox.domain.arrays import PlayerValues
from lightbox.explain.methods.shapley import METHOD
from lightbox.explain.plugin import Budget
from lightbox.explain.shapley_values.enumeration import coalitions
from lightbox.tools.bench.counts import evaluations_to, our_estimate, paired_estimate
from lightbox.tools.bench.games import KnownGame, TableGame, estimated, random_table
from lightbox.tools.bench.peers.shapley_estimators import budgets, trace_of
from lightbox.tools.bench.traces import FILE, Traces


def test_a_known_game_knows_its_values_and_counts_what_is_asked_once() -> None:
    table = random_table(6, 3)
    game = table.known()
    assert game.exact == pytest.approx(shapley_by_definition(PlainGame(table.table)), abs=1e-12)
    rows = coalitions(0, 10, 6)
    assert game.value(rows).tolist() == table.table[:10].tolist()
    game.value(rows[:3])
    assert game.evaluations == 10
    assert game.error(game.exact) == 0
    assert game.error(game.exact + 0.1) == pytest.approx(0.1 / game.span)


def test_random_games_are_the_same_each_time_and_differ_from_each_other() -> None:
    assert np.array_equal(random_table(8, 1).table, random_table(8, 1).table)
    assert not np.array_equal(random_table(8, 1).table, random_table(8, 2).table)


def test_the_benchmark_estimates_what_the_method_does() -> None:
    table = random_table(10, 0)
    budget = Budget(tolerance=1e-9, max_evaluations=402, seed=5, chunk=64)
    *_, last = METHOD.explainer(budget).refine(TableGame(table.table))
    found = estimated(TableGame(table.table), 402, 5)
    assert last.values is not None
    assert found.values.tobytes() == last.values.tobytes()


def test_evaluations_are_counted_to_where_the_error_stays_below_the_goal() -> None:
    trace = ((10, 0.5), (20, 0.01), (30, 0.03), (40, 0.02), (50, 0.001))
    assert evaluations_to(trace, 0.02) == 40
    assert evaluations_to(trace, 0.0001) is None


def test_budgets_grow_to_all_that_can_be_asked() -> None:
    assert budgets(6, 10_000)[-1] == 62
    found = budgets(16, 1_000)
    assert found[0] == 66
    assert found[-1] == 1_000
    assert found == sorted(found)


def test_a_trace_is_made_once_and_read_again_also_where_the_last_line_was_cut_off(
    tmp_path: Path,
) -> None:
    game, sizes, made = random_table(6, 0).known(), [26, 40], []

    def estimate(game: KnownGame, budget: int, seed: int) -> PlayerValues:
        made.append(budget)
        return our_estimate(game, budget, seed)

    first = Traces(tmp_path).trace("ours", estimate, game, sizes, 0)
    kept = tmp_path / FILE
    kept.write_text(kept.read_text() + '{"key": "cut')
    assert Traces(tmp_path).trace("ours", estimate, game, sizes, 0) == first
    assert made == sizes

    again = Traces(tmp_path)
    again.trace("ours", estimate, game, sizes, 1)
    again.trace("ours", estimate, random_table(6, 1).known(), sizes, 0)
    assert made == 3 * sizes
    Traces(tmp_path).trace("ours", estimate, game, sizes, 1)
    assert made == 3 * sizes


def test_odd_parities_are_worth_their_trouble_on_random_games() -> None:
    games = [random_table(12, seed).known() for seed in range(4)]
    errors = {
        which: np.median([trace_of(which, game, [1_000], 0)[0][1] for game in games])
        for which in (our_estimate, paired_estimate)
    }
    assert errors[our_estimate] < 0.5 * errors[paired_estimate]
