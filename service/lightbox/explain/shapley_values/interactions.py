"""Shapley interactions of pairs of players: what two regions add together beyond what each adds.

I_ij = sum over S without i and j of |S|! (n - |S| - 2)! / (n - 1)! times
v(S + i + j) - v(S + i) - v(S + j) + v(S) (Grabisch & Roubens 1999). In parities
I_ij = 4 * sum over even T with i and j of beta_T / (|T| - 1): only the even part of v matters,
(v(S) + v(complement of S)) / 2, so complementary pairs that were drawn for Shapley values serve
again. Exact where every coalition is known; else a regression of the even part with the weights of
KernelSHAP-IQ (Fumagalli et al. 2024, arXiv 2405.10852), with which pairs alone give the index
itself in the limit, helped by the strongest sets of four.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, PlayerValues
from lightbox.explain.shapley_values.known import KnownPairs
from lightbox.explain.shapley_values.least_squares import ConstrainedFit, Rows
from lightbox.explain.shapley_values.odd_regression import RIDGE
from lightbox.explain.shapley_values.pair_plan import pairs_of_size
from lightbox.explain.shapley_values.parities import parities, walsh_hadamard

PAIRS_PER_TERM = 2
"""So many evaluated pairs per pair of players, at least."""

_PAIRS_PER_FOUR = 4
"""Of the evaluated pairs beyond those, for each set of four."""

_MOST_FOURS = 400
_HELD = 1e4
"""Weight of single players and their complements, which KernelSHAP-IQ holds exactly."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """Interactions of pairs of players.

    Attributes
    ----------
    values, standard_errors : array, shape (n, n)
        Symmetric, 0 on the diagonal; errors are 0 where the values are exact.
    """

    values: FloatMap
    standard_errors: FloatMap


def pairs_needed(n_players: int) -> int:
    """Return how many complementary pairs must be evaluated before there is an estimate."""
    return min(PAIRS_PER_TERM * (comb(n_players, 2) + 1), (1 << (n_players - 1)) - 1)


def interactions_of_known(known: KnownPairs) -> Interactions | None:
    """Return the interactions of all pairs.

    Returns
    -------
    Interactions or None
        None where fewer than :func:`pairs_needed` pairs are known.
    """
    n = known.rows.shape[1]
    if known.is_whole:
        values = _of_table(known.table())
        return Interactions(values, np.zeros_like(values))
    if len(known.rows) < pairs_needed(n):
        return None
    even = (known.values + known.opposite) / 2.0
    weights, undrawn = _weights(known.rows)
    total = (known.v_full + known.v_empty) / 2.0
    sets = _nobody_and_pairs(n)
    fit = _fitted(Rows(parities(known.rows, sets), even, weights, undrawn), sets, total)
    count = min((len(known.rows) - len(sets)) // _PAIRS_PER_FOUR, _MOST_FOURS)
    if n > 3 and count > 0:  # four players
        sets = np.concatenate([sets, _strongest_fours(known.rows, weights * fit.residual, count)])
        fit = _fitted(Rows(parities(known.rows, sets), even, weights, undrawn), sets, total)
    matrix = _pair_shares(sets)
    return Interactions(_square(matrix @ fit.coefficients, n), _square(fit.errors(matrix), n))


def _of_table(table: PlayerValues) -> FloatMap:
    n = table.size.bit_length() - 1
    numbers = np.arange(table.size, dtype=np.uint32)
    sizes = np.bitwise_count(numbers).astype(np.int64)
    counts = (sizes % 2 == 0) & (sizes > 1)
    share = np.where(counts, 4.0 * walsh_hadamard(table) / table.size / np.maximum(sizes - 1, 1), 0)
    out = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        both = (numbers >> np.uint32(i)) & (numbers >> np.uint32(j)) & np.uint32(1)
        out[i, j] = out[j, i] = share[both == 1].sum()
    return out


def _weights(rows: CoalitionMatrix) -> tuple[PlayerValues, PlayerValues]:
    """Weigh each size as KernelSHAP-IQ does for order 2, split over the rows drawn of it."""
    n = rows.shape[1]
    sizes = rows.sum(axis=1)
    drawn = np.bincount(sizes, minlength=n)
    weight, undrawn = np.zeros(n), np.zeros(n)
    for size in np.flatnonzero(drawn).tolist():
        there = pairs_of_size(n, size)
        held = size == 1 or n < 4
        each = _HELD if held else comb(n, 2) / comb(n - 4, size - 2)
        weight[size] = each * there / drawn[size]
        undrawn[size] = 1.0 - drawn[size] / there
    return weight[sizes] / weight[sizes].sum(), undrawn[sizes]


def _fitted(rows: Rows, sets: CoalitionMatrix, total: float) -> ConstrainedFit:
    penalty = np.where(sets.sum(axis=1) > 2, RIDGE, 1e-9)
    return ConstrainedFit(rows, penalty, total)


def _nobody_and_pairs(n_players: int) -> CoalitionMatrix:
    pairs = list(combinations(range(n_players), 2))
    sets = np.zeros((len(pairs) + 1, n_players), dtype=np.bool_)
    np.put_along_axis(sets[1:], np.array(pairs), values=True, axis=1)
    return sets


def _strongest_fours(rows: CoalitionMatrix, residual: PlayerValues, count: int) -> CoalitionMatrix:
    """Find the sets of four whose parities lie along the weighted residual."""
    n = rows.shape[1]
    pairs = np.array(list(combinations(range(n), 2)))
    signs = 1.0 - 2.0 * rows.astype(np.float64)
    products = signs[:, pairs[:, 0]] * signs[:, pairs[:, 1]]
    scores = np.abs((products * residual[:, None]).T @ products)
    # Each set of four once: as the pair that ends before the other begins.
    one, two = np.nonzero(pairs[:, 1][:, None] < pairs[:, 0][None, :])
    best = np.argsort(-scores[one, two], kind="stable")[:count]
    sets = np.zeros((len(best), n), dtype=np.bool_)
    members = np.concatenate([pairs[one[best]], pairs[two[best]]], axis=1)
    np.put_along_axis(sets, members, values=True, axis=1)
    return sets


def _pair_shares(sets: CoalitionMatrix) -> FloatMap:
    """Matrix, shape (pairs of players, sets), that turns coefficients into interactions."""
    i, j = np.triu_indices(sets.shape[1], 1)
    divisor = np.maximum(sets.sum(axis=1) - 1, 1)
    out: FloatMap = 4.0 * (sets[:, i] & sets[:, j]).T / divisor
    return out


def _square(values: PlayerValues, n_players: int) -> FloatMap:
    out = np.zeros((n_players, n_players))
    out[np.triu_indices(n_players, 1)] = values
    return out + out.T
