"""Names of regions, as they are seen in a picture: the same words on every object and in warnings."""

from __future__ import annotations

_ROWS = {
    1: ("",),
    2: ("upper", "lower"),
    3: ("upper", "middle", "lower"),
    4: ("top", "upper", "lower", "bottom"),
}
_COLUMNS = {
    1: ("",),
    2: ("left", "right"),
    3: ("left", "centre", "right"),
    4: ("left", "centre left", "centre right", "right"),
}


def region_name(index: int, grid: tuple[int, int]) -> str:
    """Name a region as it is seen in the picture: "upper left", "middle centre".

    Left is the left of the picture, which in most views is the patient's right side.
    """
    row, column = divmod(index, grid[1])
    words = (_word(_ROWS, row, grid[0], "row"), _word(_COLUMNS, column, grid[1], "column"))
    return " ".join(word for word in words if word) or "whole picture"


def _word(names: dict[int, tuple[str, ...]], index: int, count: int, kind: str) -> str:
    return names[count][index] if count in names else f"{kind} {index + 1} of {count}"


Sides = tuple[str, str]
"""Where rows and columns of a picture run to, as in Patient Orientation (0020,0020): ("L", "P")."""

_TOWARDS = {
    "L": ("right", "left"),
    "P": ("anterior", "posterior"),
    "H": ("inferior", "superior"),
}
"""Axis of the patient → its beginning and its end (PS3.3 C.7.6.1.1.1)."""
_OPPOSITE = {"R": "L", "A": "P", "F": "H"}
_SHARES = {
    1: ("",),
    2: ("{first}", "{last}"),
    3: ("{first}", "central", "{last}"),
    4: ("far {first}", "{first}", "{last}", "far {last}"),
}


def patient_region_name(index: int, grid: tuple[int, int], sides: Sides) -> str:
    """Name a region as it lies in the patient: "left anterior", "" where the grid has no words.

    Parameters
    ----------
    sides : tuple of two letters
        L, R, A, P, H or F: where rows (to the right of the picture) and columns (downwards) run to.
    """
    row, column = divmod(index, grid[1])
    if grid[0] not in _SHARES or grid[1] not in _SHARES:
        return ""
    words = {}
    for letter, place, count in ((sides[0], column, grid[1]), (sides[1], row, grid[0])):
        axis = _OPPOSITE.get(letter, letter)
        first, last = _TOWARDS[axis] if letter == axis else _TOWARDS[axis][::-1]
        words[axis] = _SHARES[count][place].format(first=first, last=last)
    said = [words[axis] for axis in _TOWARDS if words.get(axis)]
    return "central" if set(said) == {"central"} else " ".join(said)
