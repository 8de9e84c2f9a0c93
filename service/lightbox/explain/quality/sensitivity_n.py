"""Sensitivity-n: whether the values of removed regions predict what their removal costs.

Ancona et al. 2018 (arXiv 1711.06104): the correlation, over random sets S of n/2 regions, of the
sum of their values with v(N) - v(N without S). The sets are drawn apart from those that an
estimator was fitted on, so it is not praised for knowing its own data.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.domain.quality import Block, Direction, QualityMetric

METRIC = QualityMetric(
    "sensitivity_n",
    Block.FAITHFULNESS,
    Direction.HIGHER,
    "Correlation of summed values with the fall of v, when random halves of the regions go.",
    "Ancona et al. 2018, arXiv 1711.06104",
)

DRAWS = 100
"""How many sets are looked at."""


def kept_halves(n_players: int, seed: int) -> CoalitionMatrix:
    """Coalitions that are left when a random half of the players goes, shape (DRAWS, n)."""
    order = np.random.default_rng([seed, n_players]).random((DRAWS, n_players)).argsort(axis=1)
    return order >= n_players // 2


def sensitivity_n(
    values: PlayerValues, kept: CoalitionMatrix, kept_value: PlayerValues, v_full: float
) -> float | None:
    """Pearson correlation; None where nothing varies.

    Parameters
    ----------
    values : array, shape (n,)
        One per region.
    kept : array, shape (draws, n), bool
        What was left, as from :func:`kept_halves`.
    kept_value : array, shape (draws,)
        v of each row.
    v_full : float
        v of all players.

    Returns
    -------
    float or None
        -1 to 1.
    """
    said = (~kept).astype(np.float64) @ values
    fell = v_full - kept_value
    if np.ptp(said) == 0.0 or np.ptp(fell) == 0.0:
        return None
    return float(np.corrcoef(said, fell)[0, 1])
