from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from contracts.explainer import TableGame, a_random_game, shapley_by_definition
from lightbox.domain.arrays import CoalitionMatrix, FloatMap
from lightbox.explain.shapley_values.enumeration import coalitions, shapley_of_table
from lightbox.explain.shapley_values.interactions import (
    Interactions,
    interactions_of_known,
    pairs_needed,
)
from lightbox.explain.shapley_values.known import KnownPairs, shapley_of_known
from lightbox.explain.shapley_values.pair_plan import pair_plan


def known_of(game: TableGame, rows: CoalitionMatrix) -> KnownPairs:
    n = game.n_players
    ends = np.array([[False] * n, [True] * n])
    asked = np.concatenate([ends, rows, ~rows])
    found = KnownPairs.among(asked, game.value(asked))
    assert found is not None
    return found


def everything(n: int) -> CoalitionMatrix:
    return pair_plan(n, 1 << n, 0)


@pytest.mark.parametrize("players", [2, 5, 8])
def test_of_all_coalitions_the_values_are_those_of_the_definition(players: int) -> None:
    game = a_random_game(players, 1)
    known = known_of(game, everything(players))
    assert known.is_whole
    assert known.table() == pytest.approx(game.table, abs=0)
    answer = shapley_of_known(known)
    assert answer is not None
    assert answer.values == pytest.approx(shapley_by_definition(game), abs=1e-12)
    assert not answer.standard_errors.any()


def test_pairs_are_found_whatever_the_order_and_lonely_coalitions_are_left_out() -> None:
    game = a_random_game(6, 2)
    asked = np.random.default_rng(0).permutation(coalitions(0, 64, 6))
    lonely = asked[(asked.sum(axis=1) > 0) & (asked.sum(axis=1) < 6)][0]
    asked = asked[~(asked == lonely).all(axis=1)]
    known = KnownPairs.among(asked, game.value(asked))
    assert known is not None
    assert not known.is_whole
    assert len(known.rows) == 30
    assert known.values == pytest.approx(game.value(known.rows), abs=0)
    assert known.opposite == pytest.approx(game.value(~known.rows), abs=0)
    assert not (known.rows == lonely).all(axis=1).any()
    assert not (~known.rows == lonely).all(axis=1).any()


def test_without_the_ends_nothing_can_be_shared_out() -> None:
    game = a_random_game(5, 0)
    some = coalitions(1, 31, 5)
    assert KnownPairs.among(some, game.value(some)) is None


def test_an_estimate_says_how_far_it_is_off() -> None:
    held = []
    for seed in range(20):
        game = a_random_game(12, seed)
        answer = shapley_of_known(known_of(game, pair_plan(12, 100, seed)))
        assert answer is not None
        off = np.abs(answer.values - shapley_of_table(game.table))
        held.append(off <= 1.96 * answer.standard_errors)
    assert 0.9 <= np.mean(held) <= 1.0


def test_fewer_pairs_than_players_say_nothing() -> None:
    assert shapley_of_known(known_of(a_random_game(8, 0), pair_plan(8, 7, 0))) is None


def interactions_by_definition(game: TableGame) -> FloatMap:
    """Grabisch & Roubens 1999, one subset after the other: slow, and plain to read."""
    n, table = game.n_players, game.table
    out = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        others = [k for k in range(n) if k not in {i, j}]
        for size in range(n - 1):
            weight = factorial(size) * factorial(n - size - 2) / factorial(n - 1)
            for members in combinations(others, size):
                s = sum(1 << k for k in members)
                both, one, two = s | 1 << i | 1 << j, s | 1 << i, s | 1 << j
                out[i, j] += weight * (table[both] - table[one] - table[two] + table[s])
    return out + out.T


def interactions(game: TableGame, pairs: int, seed: int = 0) -> Interactions:
    found = interactions_of_known(known_of(game, pair_plan(game.n_players, pairs, seed)))
    assert found is not None
    return found


@pytest.mark.parametrize("players", [2, 3, 5, 7])
def test_of_all_coalitions_the_interactions_are_those_of_the_definition(players: int) -> None:
    game = a_random_game(players, 3)
    found = interactions(game, 1 << players)
    assert found.values == pytest.approx(interactions_by_definition(game), abs=1e-12)
    assert not found.standard_errors.any()


def test_players_that_only_add_do_not_interact_and_two_that_need_each_other_do() -> None:
    numbers = np.arange(1 << 6)
    bit = [(numbers >> player) & 1 for player in range(6)]
    game = TableGame(0.3 * bit[0] + 0.2 * bit[1] + 0.5 * (bit[2] & bit[4]))
    found = interactions(game, 1 << 6).values
    wanted = np.zeros((6, 6))
    wanted[2, 4] = wanted[4, 2] = 0.5
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_estimated_interactions_come_near_and_say_how_far_they_are_off(seed: int) -> None:
    game = a_random_game(12, seed)
    truth = interactions(game, 1 << 12).values
    upper = np.triu_indices(12, 1)
    errors = {}
    for pairs in (200, 800):
        found = interactions(game, pairs, seed)
        off = np.abs(found.values - truth)[upper]
        errors[pairs] = np.sqrt(np.mean(off**2)) / np.ptp(truth[upper])
        held = np.mean(off <= 1.96 * found.standard_errors[upper])
        assert held >= 0.85
    assert errors[800] < 0.6 * errors[200]
    assert errors[800] < 0.03


def test_few_pairs_give_no_interactions() -> None:
    needed = pairs_needed(12)
    assert needed == 2 * (66 + 1)
    game = a_random_game(12, 0)
    assert interactions_of_known(known_of(game, pair_plan(12, needed - 1, 0))) is None
    assert interactions_of_known(known_of(game, pair_plan(12, needed, 0))) is not None
