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
