"""Soundness: what is not a number, constant or empty is not shown."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ExplanationError

_MEND = "no picture is made; ask for another method, or check the model package"


def check_map(method: str, cells: FloatMap) -> None:
    """Refuse a map that says nothing.

    Parameters
    ----------
    method : str
        Name of the method, for the message.
    cells : array, shape (h, w)
        The map as the method made it.

    Raises
    ------
    ExplanationError
        If it holds something that is not a finite number, is zero everywhere or constant.
    """
    check_numbers(method, cells)
    if not cells.any():
        raise ExplanationError(method, "the map is empty: nothing speaks for the finding", _MEND)
    if float(cells.min()) == float(cells.max()):
        raise ExplanationError(method, "the map is constant: it points nowhere", _MEND)


def check_numbers(method: str, values: FloatMap) -> None:
    """Refuse what is not a finite number.

    Parameters
    ----------
    method : str
        Name of the method, for the message.
    values : array
        Of any shape.

    Raises
    ------
    ExplanationError
        If any value is NaN or infinite.
    """
    wrong = int(values.size - np.isfinite(values).sum())
    if wrong:
        raise ExplanationError(
            method, f"{wrong} of {values.size} values are not finite numbers", _MEND
        )
