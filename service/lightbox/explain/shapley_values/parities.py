"""Parities, the odd part of a game, and the search for those that matter.

Shapley values depend only on the odd part y(S) = (v(S) - v(complement of S)) / 2, which parities
chi_T(S) = (-1)^|S and T| of odd |T| span (Fumagalli et al. 2026, arXiv 2602.01399). A parity's
coefficient is shared evenly among its players: phi_i = -2 * sum over T with i of beta_T / |T|.

The paper finds the strong parities with a boosted tree; here they are found from the residual
itself: by a fast Walsh-Hadamard transform, which scores all 2^n at once, or, where 2^n is too many,
by scoring all triples and the children of strong triples.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, PlayerValues

DISCOUNT = 0.6
"""Per player of a set: among noise, large sets are many and rarely the cause."""

FEW_PLAYERS = 18
"""Up to here all odd sets are scored at once."""

_PARENTS = 48
"""With more players, so many strong triples are widened to sets of five."""


def parities(coalitions: CoalitionMatrix, sets: CoalitionMatrix) -> FloatMap:
    """Evaluate chi_T(S), shape (n_coalitions, n_sets): 1 or -1."""
    shared = coalitions.astype(np.float32) @ sets.T.astype(np.float32)
    out: FloatMap = 1.0 - 2.0 * np.mod(shared, 2.0).astype(np.float64)
    return out


def shares(sets: CoalitionMatrix) -> FloatMap:
    """Matrix, shape (n_players, n_sets), that turns coefficients into Shapley values."""
    out: FloatMap = -2.0 * sets.T / sets.sum(axis=1)
    return out


def strongest(
    coalitions: CoalitionMatrix, residual: PlayerValues, known: CoalitionMatrix, count: int
) -> CoalitionMatrix:
    """Find odd sets of at least three players whose parities lie along the residual.

    Parameters
    ----------
    coalitions : array, shape (m, n)
        Where the residual was seen.
    residual : array, shape (m,)
        Weighted residual of the odd part.
    known : array, shape (k, n)
        Sets that are not wanted again.
    count : int
        How many at most.

    Returns
    -------
    array, shape (at most count, n), bool
    """
    few = coalitions.shape[1] <= FEW_PLAYERS
    sets, scores = (_scored_all if few else _scored_small)(coalitions, residual, count)
    seen = {row.tobytes() for row in np.packbits(known, axis=1)}
    packed = np.packbits(sets, axis=1)
    wanted: list[int] = []
    for place in np.argsort(-scores, kind="stable"):
        key = packed[place].tobytes()
        if key not in seen and scores[place] > 0.0:
            seen.add(key)
            wanted.append(int(place))
            if len(wanted) == count:
                break
    return sets[wanted]


def _scored_all(
    coalitions: CoalitionMatrix, residual: PlayerValues, count: int
) -> tuple[CoalitionMatrix, PlayerValues]:
    """Score every odd set by one transform; return the best, more than enough of them."""
    n = coalitions.shape[1]
    spectrum = np.zeros(1 << n)
    np.add.at(spectrum, coalitions @ (1 << np.arange(n)), residual)
    sizes = np.bitwise_count(np.arange(1 << n, dtype=np.uint32))
    scores = np.abs(walsh_hadamard(spectrum)) * DISCOUNT ** sizes.astype(np.float64)
    scores[(sizes % 2 == 0) | (sizes < 3)] = 0.0
    keep = min(4 * count + 4 * len(coalitions), scores.size)
    best = np.sort(np.argpartition(-scores, keep - 1)[:keep])
    return ((best[:, None] >> np.arange(n)) & 1).astype(np.bool_), scores[best]


def walsh_hadamard(values: PlayerValues) -> PlayerValues:
    """Sum over S of f(S) chi_T(S) for every T, in n 2^n additions."""
    size, half = values.size, 1
    while half < size:
        pairs = values.reshape(-1, 2, half)
        sums, differences = pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]
        values = np.stack([sums, differences], axis=1).reshape(size)
        half *= 2
    return values


def _scored_small(
    coalitions: CoalitionMatrix, residual: PlayerValues, count: int
) -> tuple[CoalitionMatrix, PlayerValues]:
    """Score all triples, and the sets of five that widen the strongest of them."""
    n = coalitions.shape[1]
    signs = 1.0 - 2.0 * coalitions.astype(np.float64)
    pairs = np.array(list(combinations(range(n), 2)))
    products = signs[:, pairs[:, 0]] * signs[:, pairs[:, 1]]
    table = np.abs((signs * residual[:, None]).T @ products)  # (player, pair)
    player, pair = np.nonzero(np.arange(n)[:, None] < pairs[:, 0][None, :])
    triples = np.column_stack([player, pairs[pair]])
    scores = table[player, pair] * DISCOUNT**3
    best = np.argsort(-scores, kind="stable")[: max(count, _PARENTS)]
    sets, found = [_sets_of(triples[best], n)], [scores[best]]
    parents = triples[best[:_PARENTS]]
    widened = np.abs((residual[:, None] * signs[:, parents].prod(axis=2)).T @ products)
    for parent, row in zip(parents, widened, strict=True):
        apart = ~np.isin(pairs, parent).any(axis=1)
        found.append(row[apart] * DISCOUNT**5)
        sets.append(_sets_of(np.column_stack([np.tile(parent, (apart.sum(), 1)), pairs[apart]]), n))
    return np.concatenate(sets), np.concatenate(found)


def _sets_of(members: FloatMap, n_players: int) -> CoalitionMatrix:
    sets = np.zeros((len(members), n_players), dtype=np.bool_)
    np.put_along_axis(sets, members.astype(np.int64), values=True, axis=1)
    return sets
