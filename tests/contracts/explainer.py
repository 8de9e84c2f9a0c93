"""What every explainer over players keeps, whichever method it is.

A test class of an implementation inherits :class:`ExplainerContract`, or
:class:`ShapleyContract` if its method promises Shapley values, and says how it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.domain.attribution import Estimate
from lightbox.explain.plugin import Budget, GameMethod

Seeds = st.integers(0, 2**32 - 1)

_AXIOM = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,  # an estimate may be off by chance: not in one run and not in the next
    database=None,  # one test runs for several classes: their examples must not be mixed
    suppress_health_check=[HealthCheck.differing_executors],
)


class TableGame:
    """A game given by its whole table: v of the coalition whose bits are the index."""

    def __init__(self, table: PlayerValues) -> None:
        self.table = table
        self.n_players = table.size.bit_length() - 1
        self.evaluations = 0
        self.largest_question = 0

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        self.evaluations += len(coalitions)
        self.largest_question = max(self.largest_question, len(coalitions))
        out: PlayerValues = self.table[coalitions @ (1 << np.arange(self.n_players))]
        return out


def a_random_game(n_players: int, seed: int) -> TableGame:
    """A logistic function of single players, pairs and triples, as image models look."""
    rng = np.random.default_rng(seed)
    present = ((np.arange(2**n_players)[:, None] >> np.arange(n_players)) & 1).astype(float)
    score = present @ (rng.standard_normal(n_players) * rng.gamma(1, 1, n_players))
    for _ in range(n_players if n_players > 2 else 0):
        i, j, k = rng.choice(n_players, 3, replace=False)
        score += rng.standard_normal() * present[:, i] * present[:, j]
        score += 0.7 * rng.standard_normal() * present[:, i] * present[:, j] * present[:, k]
    spread = score.std() or 1.0
    score = (score - score.mean()) / spread * rng.uniform(0.5, 3.0) + rng.uniform(-1.0, 1.0)
    return TableGame(1.0 / (1.0 + np.exp(-score)))


def shapley_by_definition(game: TableGame) -> PlayerValues:
    """Shapley 1953, one subset after the other: slow, and plain to read."""
    n = game.n_players
    values = np.zeros(n)
    for player in range(n):
        others = [other for other in range(n) if other != player]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for members in combinations(others, size):
                without = sum(1 << member for member in members)
                gain = game.table[without | (1 << player)] - game.table[without]
                values[player] += weight * gain
    return values


def last_of(method: GameMethod, game: TableGame, budget: Budget) -> Estimate:
    *_, last = method.explainer(budget).refine(game)
    return last


class ExplainerContract:
    """Set ``method`` and, where the defaults do not fit, ``budget`` and ``players``."""

    method: GameMethod
    budget = Budget(chunk=16)
    players = 5

    def answer(self, game: TableGame) -> tuple[PlayerValues, PlayerValues]:
        last = last_of(self.method, game, self.budget)
        assert last.values is not None
        assert last.standard_errors is not None
        return last.values, last.standard_errors

    def slack(self, errors: PlayerValues) -> PlayerValues:
        """How far a value may be off: rounding, and eight of its own standard errors."""
        out: PlayerValues = 1e-9 + 8.0 * errors
        return out

    def test_its_card_says_what_a_person_needs(self) -> None:
        card = self.method.card
        assert all((card.name, card.family, card.paper, card.needs, card.cost))
        assert card.name == card.name.lower()

    def test_never_asks_for_more_than_a_chunk_at_a_time(self) -> None:
        game = a_random_game(self.players, 1)
        last_of(self.method, game, self.budget)
        assert 0 < game.largest_question <= self.budget.chunk

    def test_counts_what_it_spends_and_says_when_it_is_done(self) -> None:
        game = a_random_game(self.players, 2)
        spent = 0
        estimates = list(self.method.explainer(self.budget).refine(game))
        for estimate in estimates:
            assert spent <= estimate.evaluations <= estimate.total
            spent = estimate.evaluations
        assert estimates[-1].values is not None
        assert np.isfinite(estimates[-1].values).all()
        assert spent == game.evaluations <= max(self.budget.max_evaluations, 2**self.players)

    def test_the_same_game_gives_the_same_bits(self) -> None:
        first = self.answer(a_random_game(self.players, 3))[0]
        second = self.answer(a_random_game(self.players, 3))[0]
        assert first.tobytes() == second.tobytes()

    @given(seed=Seeds)
    @_AXIOM
    def test_a_player_that_never_matters_gets_nothing(self, seed: int) -> None:
        game = a_random_game(self.players - 1, seed)
        with_dummy = TableGame(np.concatenate([game.table, game.table]))
        values, errors = self.answer(with_dummy)
        assert abs(values[-1]) <= self.slack(errors)[-1]

    @given(seed=Seeds)
    @_AXIOM
    def test_players_that_can_be_exchanged_get_the_same(self, seed: int) -> None:
        table = a_random_game(self.players, seed).table
        numbers = np.arange(table.size)
        first, second = numbers & 1, (numbers >> 1) & 1
        exchanged = (numbers & ~3) | (first << 1) | second
        values, errors = self.answer(TableGame((table + table[exchanged]) / 2.0))
        assert abs(values[0] - values[1]) <= self.slack(errors[:2]).sum()


class ShapleyContract(ExplainerContract):
    """Values are Shapley values, up to the standard errors that the estimate states."""

    @given(seed=Seeds)
    @_AXIOM
    def test_efficiency_the_values_add_up(self, seed: int) -> None:
        game = a_random_game(self.players, seed)
        values, _ = self.answer(game)
        assert values.sum() == pytest.approx(game.table[-1] - game.table[0], abs=1e-9)

    @given(seed=Seeds)
    @_AXIOM
    def test_linearity_the_values_of_a_sum_are_the_sum_of_the_values(self, seed: int) -> None:
        one, two = a_random_game(self.players, seed), a_random_game(self.players, seed + 1)
        both = TableGame(one.table - 0.5 * two.table)
        found = [self.answer(game) for game in (one, two, both)]
        off = found[0][0] - 0.5 * found[1][0] - found[2][0]
        slack = sum(self.slack(errors) for _, errors in found)
        assert (np.abs(off) <= slack).all()

    @given(seed=Seeds)
    @_AXIOM
    def test_they_are_what_the_definition_says(self, seed: int) -> None:
        game = a_random_game(self.players, seed)
        values, errors = self.answer(game)
        assert (np.abs(values - shapley_by_definition(game)) <= self.slack(errors)).all()

    @given(seed=Seeds, order=st.randoms(use_true_random=False))
    @_AXIOM
    def test_names_of_players_do_not_matter(self, seed: int, order: object) -> None:
        game = a_random_game(self.players, seed)
        shuffle: Callable[[list[int]], None] = order.shuffle  # type: ignore[attr-defined]  # random.Random
        place = list(range(self.players))
        shuffle(place)
        numbers = np.arange(game.table.size)
        moved = sum(((numbers >> player) & 1) << place[player] for player in range(self.players))
        table = np.empty_like(game.table)
        table[moved] = game.table
        values, errors = self.answer(TableGame(table))
        original, original_errors = self.answer(game)
        slack = self.slack(errors[place]) + self.slack(original_errors)
        assert (np.abs(values[place] - original) <= slack).all()
