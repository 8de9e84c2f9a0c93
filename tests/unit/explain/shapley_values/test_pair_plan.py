from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.explain.shapley_values.pair_plan import pair_plan, pairs_of_size, regression_weights

Players = st.integers(2, 14)


@given(n=Players, pairs=st.integers(1, 300), seed=st.integers(0, 99))
def test_no_pair_is_drawn_twice_and_never_more_than_there_are(
    n: int, pairs: int, seed: int
) -> None:
    plan = pair_plan(n, pairs, seed)
    assert len(plan) == min(pairs, 2 ** (n - 1) - 1)
    codes = plan @ (1 << np.arange(n))
    assert len(set(codes) | set(2**n - 1 - codes)) == 2 * len(plan)
    assert plan.any(axis=1).all()
    assert (plan.sum(axis=1) <= n // 2).all()


@given(n=Players, begin=st.integers(1, 200), seed=st.integers(0, 99))
def test_every_beginning_takes_all_sizes_in_turn(n: int, begin: int, seed: int) -> None:
    rows = pair_plan(n, 1000, seed)[:begin]
    drawn = np.bincount(rows.sum(axis=1), minlength=n)
    for size in range(1, (n + 1) // 2):
        full = drawn[size] == pairs_of_size(n, size)
        assert full or drawn[size] >= drawn.max() - 2


def test_a_longer_plan_begins_like_a_shorter_one_in_sizes() -> None:
    short, long = pair_plan(20, 100, 0), pair_plan(20, 4000, 0)
    assert (short.sum(axis=1) == long[:100].sum(axis=1)).all()


def test_the_seed_decides_the_plan() -> None:
    assert (pair_plan(24, 500, 3) == pair_plan(24, 500, 3)).all()
    assert (pair_plan(24, 500, 3) != pair_plan(24, 500, 4)).any()


def test_large_sizes_are_drawn_without_listing_them() -> None:
    plan = pair_plan(60, 3000, 0)
    assert len(np.unique(plan, axis=0)) == 3000
    assert plan[plan.sum(axis=1) == 30, 0].all()


@pytest.mark.parametrize("n", [6, 7])
def test_weights_keep_the_kernels_mass_of_each_size(n: int) -> None:
    rows = pair_plan(n, 12, 0)
    weights, undrawn = regression_weights(rows)
    sizes = rows.sum(axis=1)
    for size in np.unique(sizes):
        halves = 1.0 if 2 * size == n else 2.0
        assert weights[sizes == size].sum() == pytest.approx(halves / (size * (n - size)))
        capacity = comb(n, size) / (2 if 2 * size == n else 1)
        assert undrawn[sizes == size] == pytest.approx(1 - (sizes == size).sum() / capacity)
