"""Figures of parts of the brain images, for two cards: planes, sizes of the tumour, the border."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from measures import confusion

Array: TypeAlias = npt.NDArray[Any]
Rows: TypeAlias = Sequence[Mapping[str, str]]

BORDER = 0.12
"""Width of what is called the border, of the image's side."""


def groups_of(rows: Rows, areas: Array) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which images belong to each plane and to each third of tumour sizes.

    Parameters
    ----------
    rows : sequence of mapping
        Of ``labels.csv``.
    areas : array, shape (N,)
        Of the tumours, in mm² of the slice.
    """
    planes = np.array([row["plane"] for row in rows])
    small, large = np.quantile(areas, [1 / 3, 2 / 3])
    return {name: planes == name for name in sorted(set(planes))} | {
        f"smallest third (under {small:.0f} mm²)": areas < small,
        "middle third": (areas >= small) & (areas < large),
        f"largest third (from {large:.0f} mm²)": areas >= large,
    }


def recall_lines(
    chosen: Array, labels: npt.NDArray[np.int64], groups: Mapping[str, npt.NDArray[np.bool_]]
) -> str:
    """Return the card's rows: images, accuracy and balanced accuracy of each group."""
    lines = []
    for name, of in groups.items():
        table = confusion(chosen[of], labels[of])
        accuracy = np.trace(table) / table.sum()
        lines.append(f"| {name} | {of.sum()} | {accuracy:.3f} | {balanced(table):.3f} |")
    return "\n".join(lines)


def border_lines(
    chosen: Callable[[Array], Array], images: Array, labels: npt.NDArray[np.int64]
) -> str:
    """Return the card's rows: balanced accuracy of whole images, without the border, of it alone.

    Parameters
    ----------
    chosen : callable
        Network inputs, shape (N, 1, H, W) → class of each.
    """
    return "\n".join(
        f"| {name} | {balanced(confusion(chosen(part), labels)):.3f} |"
        for name, part in with_and_without(images).items()
    )


def with_and_without(images: Array) -> dict[str, Array]:
    """Return the images whole, without their border, and nothing but it: level 0 elsewhere."""
    height, width = images.shape[-2:]
    frame = np.ones((height, width), np.bool_)
    rows, columns = round(BORDER * height), round(BORDER * width)
    frame[rows : height - rows, columns : width - columns] = False
    return {
        "the whole image": images,
        "without its border": np.where(frame, np.float32(0), images),
        "its border alone": np.where(frame, images, np.float32(0)),
    }


def balanced(table: Array) -> float:
    """Return the mean recall of the classes that there are."""
    there = table.sum(1) > 0
    return float((np.diag(table)[there] / table.sum(1)[there]).mean())
