"""Groups of the brain images, for two cards: by plane, and by size of the tumour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = Sequence[Mapping[str, str]]


def groups_of(
    rows: Rows, areas: npt.NDArray[Any], *, by: Sequence[str] = ("plane",)
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which images belong to each value of these columns, and to each third of sizes.

    Parameters
    ----------
    rows : sequence of mapping
        Of ``labels.csv``.
    areas : array, shape (N,)
        Of the tumours, in mm² of the slice.
    by : sequence of str
        Columns of ``rows``.
    """
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for column in by:
        values = np.array([row[column] for row in rows])
        found |= {str(value): values == value for value in sorted(set(values))}
    small, large = np.quantile(areas, [1 / 3, 2 / 3])
    return found | {
        f"smallest third (under {small:.0f} mm²)": areas < small,
        "middle third": (areas >= small) & (areas < large),
        f"largest third (from {large:.0f} mm²)": areas >= large,
    }
