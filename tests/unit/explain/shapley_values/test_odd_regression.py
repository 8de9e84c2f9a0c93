from __future__ import annotations

import numpy as np
import pytest

from contracts.explainer import TableGame, a_random_game, shapley_by_definition
from lightbox.domain.arrays import CoalitionMatrix
from lightbox.explain.shapley_values.enumeration import shapley_of_table
from lightbox.explain.shapley_values.odd_regression import Answer, Pairs, fits
from lightbox.explain.shapley_values.pair_plan import pair_plan
from lightbox.explain.shapley_values.parities import parities, shares, strongest


def pairs_of(game: TableGame, evaluations: int, seed: int = 0) -> Pairs:
    rows = pair_plan(game.n_players, (evaluations - 2) // 2, seed)
    odd = (game.value(rows) - game.value(~rows)) / 2.0
    return Pairs(rows, odd, float(game.table[-1] - game.table[0]))


def answer_of(pairs: Pairs) -> Answer:
    *_, last = fits(pairs)
    return last.answer()


def sets_of(n: int, *members: tuple[int, ...]) -> CoalitionMatrix:
    sets = np.zeros((len(members), n), dtype=np.bool_)
    for row, found in zip(sets, members, strict=True):
        row[list(found)] = True
    return sets


@pytest.mark.parametrize("players", [2, 3, 5, 8])
def test_all_pairs_give_exact_values_without_error(players: int) -> None:
    game = a_random_game(players, 1)
    found = answer_of(pairs_of(game, 2**players))
    assert found.values == pytest.approx(shapley_by_definition(game), abs=1e-8)
    assert found.standard_errors == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_values_add_up_however_few_pairs_there_are(seed: int) -> None:
    game = a_random_game(12, seed)
    pairs = pairs_of(game, 50, seed)
    assert answer_of(pairs).values.sum() == pytest.approx(pairs.total, abs=1e-10)


def test_a_parity_is_shared_evenly_among_its_players() -> None:
    n, members = 5, sets_of(5, (0,), (1, 2, 4))
    rows = ((np.arange(32)[:, None] >> np.arange(n)) & 1).astype(np.bool_)
    coefficients = np.array([0.7, -0.4])
    table = parities(rows, members) @ coefficients
    assert shares(members) @ coefficients == pytest.approx(shapley_of_table(table), abs=1e-12)


@pytest.mark.parametrize("players", [12, 22])
def test_parities_that_make_up_a_game_are_found(players: int) -> None:
    planted = sets_of(players, (0, 3, 7), (1, 2, 9), (0, 3, 5, 7, 11))
    coefficients = np.array([1.0, -0.8, 0.5])
    rows = pair_plan(players, 700, 0)
    pairs = Pairs(rows, parities(rows, planted) @ coefficients, -2.0 * coefficients.sum())
    truth = shares(planted) @ coefficients
    first, *_, last = fits(pairs)
    worst = [np.abs(fit.answer().values - truth).max() for fit in (first, last)]
    assert worst[1] < 0.005 < worst[0]


def test_parities_that_are_known_are_not_proposed_again() -> None:
    rows = pair_plan(12, 100, 0)
    noise = np.random.default_rng(0).standard_normal(len(rows))
    found = strongest(rows, noise, np.zeros((0, 12), dtype=np.bool_), 40)
    again = strongest(rows, noise, found, 40)
    assert len(found) == len(again) == 40
    assert not {row.tobytes() for row in found} & {row.tobytes() for row in again}


@pytest.mark.parametrize("players", [8, 20])
def test_only_odd_sets_of_three_and_more_are_proposed(players: int) -> None:
    rows = pair_plan(players, 100, 0)
    noise = np.random.default_rng(0).standard_normal(len(rows))
    sizes = strongest(rows, noise, np.zeros((0, players), dtype=np.bool_), 64).sum(axis=1)
    assert (sizes % 2 == 1).all()
    assert (sizes >= 3).all()


def test_parities_lower_the_error_where_single_players_do_not_suffice() -> None:
    games = [a_random_game(12, seed) for seed in range(3)]
    singles: list[float] = []
    best: list[float] = []
    for game in games:
        first, *_, last = fits(pairs_of(game, 1026))
        truth = shapley_of_table(game.table)
        for found, errors in ((first, singles), (last, best)):
            off = found.answer().values - truth
            errors.append(float(np.mean(off**2) / np.ptp(truth) ** 2))
    assert np.sqrt(np.mean(best)) < 0.6 * np.sqrt(np.mean(singles))
    assert np.sqrt(np.mean(best)) < 0.006


@pytest.mark.parametrize("evaluations", [66, 258])
def test_intervals_of_95_per_cent_hold_the_truth_so_often(evaluations: int) -> None:
    held = []
    for seed in range(30):
        game = a_random_game(12, 1000 + seed)
        found = answer_of(pairs_of(game, evaluations, seed))
        off = np.abs(found.values - shapley_of_table(game.table))
        held.append(off <= 1.96 * found.standard_errors + 1e-12)
    assert 0.92 <= np.mean(held) <= 0.995
