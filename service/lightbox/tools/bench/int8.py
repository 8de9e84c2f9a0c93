"""What int8 would save an audit, and how far it would move its values.

An audit may only be computed in int8 where its bias is below the tolerance: this measures the bias,
on games whose values in float32 are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, LabelMap
from lightbox.explain.game import ImageGame, Masking
from lightbox.explain.shapley_values.enumeration import coalitions, shapley_of_table
from lightbox.infer.runtimes.quantised import quantised
from lightbox.tools.bench.games import KnownGame
from lightbox.tools.bench.report import Case
from lightbox.tools.doors import Doors

_CALIBRATION = 48
"""Masked images that ranges are calibrated on."""

_CHUNK = 256


class Int8:
    """The network in int8, masked as an audit masks.

    Parameters
    ----------
    doors : Doors
        Around the model.
    weights : bytes
        In float32.
    masked : sequence of Masking
        Images to calibrate on.
    """

    def __init__(self, doors: Doors, weights: bytes, masked: Sequence[Masking]) -> None:
        draw = np.random.default_rng(0)
        images = [
            _shown(one, draw.random((1, one.n_players)) < draw.random())
            for one in (masked[number % len(masked)] for number in range(_CALIBRATION))
        ]
        self._forward = doors.runtime.bare(quantised(weights, images))
        self._batch = doors.runtime.batch

    def value(
        self, image: FloatMap, baseline: FloatMap, regions: LabelMap, rows: CoalitionMatrix
    ) -> FloatMap:
        """Return logits of masked images; as ``ports.Runtime``."""
        masking = Masking(image, baseline, regions)
        parts = [
            self._forward(_shown(masking, rows[at : at + self._batch]))
            for at in range(0, len(rows), self._batch)
        ]
        return np.concatenate(parts)

    def bias(self, game: ImageGame, exact: KnownGame) -> float:
        """Return the largest shift of a Shapley value, as a share of the range of them all."""
        n = game.n_players
        table = np.concatenate(
            [
                game.question.value(
                    self.value(
                        game.masking.image,
                        game.masking.baseline,
                        game.masking.regions,
                        coalitions(at, min(at + _CHUNK, 1 << n), n),
                    )
                )
                for at in range(0, 1 << n, _CHUNK)
            ]
        )
        return float(np.abs(shapley_of_table(table) - exact.exact).max()) / exact.span


def bias_case(shifts: Sequence[float], tolerance: float, players: int) -> Case:
    """Say how far int8 moves values, and what follows from it."""
    worst = max(shifts)
    follows = "audits stay in float32" if worst > tolerance else "int8 would be below it"
    return Case(
        f"bias of int8, {players} regions",
        100.0 * worst,
        "% of the range",
        {"tolerance": 100.0 * tolerance},
        note=f"largest shift of a value on {len(shifts)} images; {follows}",
    )


def _shown(masking: Masking, rows: CoalitionMatrix) -> FloatMap:
    out: FloatMap = np.where(
        rows[:, masking.regions][:, None], masking.image, masking.baseline
    ).astype(np.float32)
    return out
