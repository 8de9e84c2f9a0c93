"""Further answers from values that are known: no evaluation is asked for.

What an audit evaluated for one question answers others: the same coalitions give the Shapley values
of any other output, and the interactions of pairs of players.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.explain.shapley_values.enumeration import shapley_of_table
from lightbox.explain.shapley_values.odd_regression import Answer, Pairs, fits


@dataclass(frozen=True, slots=True)
class KnownPairs:
    """Values of complementary coalitions.

    Attributes
    ----------
    rows : array, shape (m, n)
        The smaller half of each pair; neither the empty nor the grand coalition.
    values, opposite : array, shape (m,)
        v of the rows and of their complements.
    v_empty, v_full : float
    """

    rows: CoalitionMatrix
    values: PlayerValues
    opposite: PlayerValues
    v_empty: float
    v_full: float

    @classmethod
    def among(cls, coalitions: CoalitionMatrix, values: PlayerValues) -> Self | None:
        """Find the pairs among evaluated coalitions, in their order.

        Parameters
        ----------
        coalitions : array, shape (q, n)
            No row twice.
        values : array, shape (q,)

        Returns
        -------
        KnownPairs or None
            None where the empty or the grand coalition is not known.
        """
        n = coalitions.shape[1]
        place = {row.tobytes(): at for at, row in enumerate(np.packbits(coalitions, axis=1))}
        whole = np.ones(n, dtype=np.bool_)
        ends = [place.get(np.packbits(row).tobytes()) for row in (~whole, whole)]
        if ends[0] is None or ends[1] is None:
            return None
        sizes = coalitions.sum(axis=1)
        smaller = (2 * sizes < n) | ((2 * sizes == n) & coalitions[:, 0])
        found = [
            (at, other)
            for at in np.flatnonzero(smaller & (sizes > 0)).tolist()
            if (other := place.get(np.packbits(~coalitions[at]).tobytes())) is not None
        ]
        one, two = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return cls(
            coalitions[one],
            values[one],
            values[two],
            float(values[ends[0]]),
            float(values[ends[1]]),
        )

    @property
    def is_whole(self) -> bool:
        """Whether every coalition is known."""
        return bool(2 * len(self.rows) + 2 == 1 << self.rows.shape[1])

    def table(self) -> PlayerValues:
        """Return all values, shape (2^n,), by the number whose bit i is player i."""
        n = self.rows.shape[1]
        numbers = self.rows @ (1 << np.arange(n, dtype=np.int64))
        out = np.empty(1 << n)
        out[numbers], out[out.size - 1 - numbers] = self.values, self.opposite
        out[0], out[-1] = self.v_empty, self.v_full
        return out


def shapley_of_known(known: KnownPairs) -> Answer | None:
    """Return Shapley values: exact where everything is known, else by the odd regression.

    Returns
    -------
    Answer or None
        None where there are fewer pairs than players.
    """
    n = known.rows.shape[1]
    if known.is_whole:
        return Answer(shapley_of_table(known.table()), np.zeros(n))
    if len(known.rows) < n:
        return None
    odd = (known.values - known.opposite) / 2.0
    *_, last = fits(Pairs(known.rows, odd, known.v_full - known.v_empty))
    return last.answer()
