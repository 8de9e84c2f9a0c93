"""What a card reports, computed on arrays: classification, calibration, localisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_PLATEAU = 0.01  # share of the image


def softmax(logits: Array, temperature: float) -> Array:
    """Return probabilities, shape (N, classes)."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    out: Array = scaled / scaled.sum(1, keepdims=True)
    return out


def fitted_temperature(logits: Array, labels: npt.NDArray[np.int64]) -> float:
    """Find the temperature of least negative log likelihood (Guo et al. 2017)."""
    candidates = np.linspace(0.3, 3.0, 271)
    rows = np.arange(len(labels))
    losses = [-np.log(softmax(logits, t)[rows, labels] + 1e-12).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def calibration_error(probabilities: Array, labels: npt.NDArray[np.int64]) -> float:
    """Return the expected calibration error of the winning class, 10 bins of equal width."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    for low in np.arange(0.0, 1.0, 0.1):
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            error += float(gap * inside.mean())
    return error


def cross_fitted(logits: Array, labels: npt.NDArray[np.int64], groups: Sequence[str]) -> Array:
    """Return probabilities whose temperature was fitted on the other half of the patients."""
    names = sorted(set(groups))
    half = np.array([names.index(group) % 2 for group in groups])
    out = np.zeros_like(logits)
    for side in (0, 1):
        temperature = fitted_temperature(logits[half != side], labels[half != side])
        out[half == side] = softmax(logits[half == side], temperature)
    return out


def confusion(chosen: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Array:
    """Rows are truth, columns the answer."""
    n = int(labels.max()) + 1
    table = np.zeros((n, n))
    np.add.at(table, (labels, chosen), 1)
    return table


def kappa(table: Array) -> float:
    """Cohen's kappa."""
    total = table.sum()
    observed = np.trace(table) / total
    expected = float((table.sum(0) * table.sum(1)).sum() / total**2)
    return float((observed - expected) / (1 - expected))


def f2(table: Array) -> float:
    """F2 score, mean over the classes (recall counts four times precision)."""
    recall = np.diag(table) / table.sum(1)
    precision = np.diag(table) / np.maximum(table.sum(0), 1)
    return float(np.mean(5 * precision * recall / np.maximum(4 * precision + recall, 1e-9)))


def wilson_interval(right: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927): how little a small number says."""
    z = 1.96
    share = right / of
    centre = share + z * z / (2 * of)
    spread = z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = (centre - spread) / (1 + z * z / of), (centre + spread) / (1 + z * z / of)
    return float(max(low, 0.0)), float(min(high, 1.0))


def dice(drawn: npt.NDArray[np.bool_], masks: npt.NDArray[np.bool_]) -> Array:
    """Return the Dice coefficient of each image, shape (N,): 1 where both are empty."""
    pixels = tuple(range(1, drawn.ndim))
    both = (drawn & masks).sum(pixels)
    either = drawn.sum(pixels) + masks.sum(pixels)
    out: Array = np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0)
    return out


def boundary_distance(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Return the 95 % Hausdorff distance of two outlines, pixels; NaN where either is empty.

    Of both ways: the larger of the two 95th percentiles of the distance from a pixel of one
    boundary to the nearest of the other's.
    """
    edges = [np.argwhere(_boundary(mask)).astype(np.float64) for mask in (one, other)]
    if not all(len(edge) for edge in edges):
        return float("nan")
    apart = np.sqrt(((edges[0][:, None] - edges[1][None]) ** 2).sum(2))
    return float(max(np.percentile(apart.min(1), 95), np.percentile(apart.min(0), 95)))


def _boundary(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of a mask with a neighbour, up, down, left or right, that is outside of it."""
    around = np.pad(mask, 1)
    inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    out: npt.NDArray[np.bool_] = mask & ~inner
    return out


@dataclass(frozen=True)
class Localisation:
    """Where maps point, against masks.

    Attributes
    ----------
    hit, near : float
        Share of images whose maximum is inside of the mask, within ``reach`` pixels of it.
    mass : float
        Mean share of the positive map inside of the mask.
    times_chance : float
        ``mass`` ÷ mean share of the image that the mask covers.
    distance_mm : float
        Median distance from the maximum to the mask's centre.
    """

    hit: float
    near: float
    mass: float
    times_chance: float
    distance_mm: float


def localisation(
    maps: Sequence[Array],
    masks: Sequence[npt.NDArray[np.bool_]],
    *,
    reach: int,
    spacing_mm: float,
) -> Localisation:
    """Compare maps with masks of the same shape.

    Where the maximum is a plateau (a region of equal values) it is no point: hit, near and
    distance are NaN then, and the mass speaks alone.
    """
    hit, near, mass, distance = [], [], [], []
    plateau = False
    for values, mask in zip(maps, masks, strict=True):
        plateau = plateau or bool((values == values.max()).mean() > _PLATEAU)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        rows, columns = np.nonzero(mask)
        hit.append(bool(mask[row, column]))
        box = mask[
            max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
        ]
        near.append(bool(box.any()))
        positive = np.maximum(values, 0.0)
        mass.append(float(positive[mask].sum() / max(float(positive.sum()), 1e-12)))
        distance.append(spacing_mm * float(np.hypot(rows.mean() - row, columns.mean() - column)))
    chance = float(np.mean([mask.mean() for mask in masks]))
    return Localisation(
        hit=float("nan") if plateau else float(np.mean(hit)),
        near=float("nan") if plateau else float(np.mean(near)),
        mass=float(np.mean(mass)),
        times_chance=float(np.mean(mass)) / chance,
        distance_mm=float("nan") if plateau else float(np.median(distance)),
    )
