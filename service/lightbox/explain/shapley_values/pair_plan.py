"""Which coalitions an estimator asks for: complementary pairs, stratified, without replacement.

Sizes are drawn evenly, which is leverage score sampling (Musco & Witter 2025, arXiv 2410.01917);
a coalition always comes with its complement (Covert & Lee 2021, arXiv 2012.01536). Pairs are
ordered so that every beginning of the plan is itself stratified: sizes take turns, and a size
whose coalitions are all drawn drops out.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues

_ENUMERATE = 20_000
"""Sizes with at most so many coalitions are listed and shuffled; of others distinct ones drawn."""


def pair_plan(n_players: int, pairs: int, seed: int) -> CoalitionMatrix:
    """Draw the smaller half of each pair; the other half is its complement.

    Parameters
    ----------
    n_players : int
        At least 2.
    pairs : int
        How many at most; never more than there are.
    seed : int
        The same seed gives the same plan.

    Returns
    -------
    array, shape (pairs, n_players), bool
    """
    sizes = np.arange(1, n_players // 2 + 1)
    capacity = np.array([pairs_of_size(n_players, int(size)) for size in sizes], dtype=np.float64)
    turns = np.where(2 * sizes == n_players, 1.0, 2.0)  # draws of a pair of sizes per turn
    order = np.concatenate(
        [
            np.stack([(np.arange(count) + 0.5) / rate, np.full(count, size)])
            for size, rate, count in zip(
                sizes, turns, np.minimum(capacity, pairs).astype(np.int64), strict=True
            )
        ],
        axis=1,
    )
    first = np.lexsort(order[::-1])[:pairs]
    size_of_row = order[1, first].astype(np.int64)
    rows = np.zeros((first.size, n_players), dtype=np.bool_)
    for size in np.unique(size_of_row):
        place = np.flatnonzero(size_of_row == size)
        random = np.random.default_rng([seed, n_players, int(size)])
        rows[place] = _distinct(n_players, int(size), place.size, random)
    return rows


def pairs_of_size(n_players: int, size: int) -> int:
    """How many complementary pairs there are whose smaller half has ``size`` players."""
    count = comb(n_players, size)
    return count // 2 if 2 * size == n_players else count


def regression_weights(rows: CoalitionMatrix) -> tuple[PlayerValues, PlayerValues]:
    """Weigh the rows of the beginning of a plan.

    Each size keeps its mass in the Shapley kernel, 1 / (s (n - s)) for either half, split over
    the rows that were drawn of it.

    Parameters
    ----------
    rows : array, shape (m, n)
        The smaller halves.

    Returns
    -------
    weights : array, shape (m,)
    undrawn : array, shape (m,)
        Share of the row's size that was not drawn: the finite-population factor of its variance.
    """
    n = rows.shape[1]
    sizes = rows.sum(axis=1)
    drawn = np.bincount(sizes, minlength=n)
    weight, undrawn = np.zeros(n), np.zeros(n)
    for size in np.flatnonzero(drawn):
        halves = 1.0 if 2 * size == n else 2.0
        weight[size] = halves / (size * (n - size)) / drawn[size]
        undrawn[size] = 1.0 - drawn[size] / pairs_of_size(n, int(size))
    return weight[sizes], undrawn[sizes]


def _distinct(
    n_players: int, size: int, count: int, random: np.random.Generator
) -> CoalitionMatrix:
    """``count`` different coalitions in random order; of complementary ones that with player 0."""
    if pairs_of_size(n_players, size) <= max(_ENUMERATE, 2 * count):
        members = _all_of_size(n_players, size)
        return _present(random.permutation(members)[:count], n_players)
    found = np.zeros((0, n_players), dtype=np.bool_)
    while len(found) < count:
        draws = random.random((count, n_players)).argpartition(size - 1, axis=1)[:, :size]
        more = _present(draws, n_players)
        if 2 * size == n_players:
            more[~more[:, 0]] ^= True
        found = np.concatenate([found, more])
        _, first = np.unique(np.packbits(found, axis=1), axis=0, return_index=True)
        found = found[np.sort(first)]
    return found[:count]


def _all_of_size(n_players: int, size: int) -> npt.NDArray[np.int64]:
    members = np.array(list(combinations(range(n_players), size)), dtype=np.int64)
    return members[members[:, 0] == 0] if 2 * size == n_players else members


def _present(members: npt.NDArray[np.int64], n_players: int) -> CoalitionMatrix:
    rows = np.zeros((len(members), n_players), dtype=np.bool_)
    np.put_along_axis(rows, members, values=True, axis=1)
    return rows
