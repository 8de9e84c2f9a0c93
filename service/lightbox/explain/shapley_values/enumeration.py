"""Exact Shapley values: every coalition once, in chunks.

phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)) (Shapley 1953).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.domain.attribution import Estimate
from lightbox.domain.errors import ExplanationError
from lightbox.ports import Game

MOST_PLAYERS = 20
"""2^20 evaluations are a quarter of an hour on a small network; beyond, ask for an estimate."""


def enumerated(game: Game, chunk: int) -> Iterator[Estimate]:
    """Evaluate all coalitions, ``chunk`` at a time, and yield after each.

    Parameters
    ----------
    game : Game
        What is asked.
    chunk : int
        Evaluations between two yields.

    Yields
    ------
    Estimate
        A partial table has no exact answer, so ``values`` is None until the last one.

    Raises
    ------
    ExplanationError
        If there are more than :data:`MOST_PLAYERS` players.
    """
    n = game.n_players
    if n > MOST_PLAYERS:
        raise ExplanationError(
            f"{n} regions",
            f"enumeration would need 2^{n} evaluations",
            f"use the method shapley, or at most {MOST_PLAYERS} regions",
        )
    total = 1 << n
    table = np.empty(total)
    for start in range(0, total, chunk):
        stop = min(start + chunk, total)
        table[start:stop] = game.value(coalitions(start, stop, n))
        if stop < total:
            yield Estimate(evaluations=stop, total=total, converged=False)
    yield Estimate(
        values=shapley_of_table(table),
        standard_errors=np.zeros(n),
        evaluations=total,
        total=total,
        exact=True,
    )


def coalitions(start: int, stop: int, n_players: int) -> CoalitionMatrix:
    """Coalitions ``start`` to ``stop - 1``: player i is present where bit i of the number is set."""
    numbers = np.arange(start, stop, dtype=np.int64)
    return ((numbers[:, None] >> np.arange(n_players)) & 1).astype(np.bool_)


def shapley_of_table(table: PlayerValues) -> PlayerValues:
    """Shapley values of a full table.

    Parameters
    ----------
    table : array, shape (2^n,), float64
        v of every coalition; player i is present where bit i of the index is set.

    Returns
    -------
    array, shape (n,), float64
    """
    n = table.size.bit_length() - 1
    sizes = np.bitwise_count(np.arange(table.size, dtype=np.uint32))
    weight_of_size = np.array([1.0 / (n * comb(n - 1, size)) for size in range(n)] + [0.0])
    weights = weight_of_size[sizes]
    values = np.empty(n)
    for player in range(n):
        shape = (-1, 2, 1 << player)  # middle axis: player absent, present
        split = table.reshape(shape)
        gains = split[:, 1] - split[:, 0]
        values[player] = np.sum(weights.reshape(shape)[:, 0] * gains)
    return values
