"""Weighted least squares under one equation, with standard errors that samples can be held to.

Errors are HC3 (MacKinnon & White 1985) with the finite-population factor of each row: what is drawn
without replacement is not noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightbox.domain.arrays import FloatMap, PlayerValues

_LEAST_SLACK = 0.05
"""1 - leverage is not taken as smaller: a row that fits itself says nothing of its error."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is fitted.

    Attributes
    ----------
    features : array, shape (m, k)
    target : array, shape (m,)
    weights : array, shape (m,)
    undrawn : array, shape (m,)
        Finite-population factor of each row's variance.
    """

    features: FloatMap
    target: PlayerValues
    weights: PlayerValues
    undrawn: PlayerValues


class ConstrainedFit:
    """Coefficients that add up to ``total``.

    Parameters
    ----------
    rows : Rows
        What is fitted.
    penalty : array, shape (k,)
        Of each squared coefficient, as a share of the mean diagonal of the normal equations.
    total : float
        Sum of all coefficients.

    Attributes
    ----------
    coefficients : array, shape (k,)
    residual : array, shape (m,)
    """

    def __init__(self, rows: Rows, penalty: PlayerValues, total: float) -> None:
        self._rows = rows
        weighted = rows.features * rows.weights[:, None]
        gram = weighted.T @ rows.features
        scale = float(np.trace(gram)) / len(penalty)
        inverse = np.linalg.inv(gram + np.diag(penalty * scale))
        row_sums = inverse.sum(axis=1)
        projected = inverse - np.outer(row_sums, row_sums) / row_sums.sum()
        self._influence: FloatMap = weighted @ projected
        offset = row_sums * total / row_sums.sum()
        self.coefficients: PlayerValues = self._influence.T @ rows.target + offset
        self.residual: PlayerValues = rows.target - rows.features @ self.coefficients

    def errors(self, matrix: FloatMap) -> PlayerValues:
        """Return standard errors, shape (q,), of ``matrix @ coefficients``, matrix (q, k)."""
        leverage = np.einsum("ij,ij->i", self._rows.features, self._influence)
        left_out = self.residual / np.clip(1.0 - leverage, _LEAST_SLACK, None)
        moved = (self._influence @ matrix.T) * left_out[:, None]
        variance = (moved**2 * self._rows.undrawn[:, None]).sum(axis=0)
        out: PlayerValues = np.sqrt(variance)
        return out
