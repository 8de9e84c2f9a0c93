"""What int8 would save, and how far it would move findings, maps and the values of audits.

An audit may only be computed in int8 where its bias is below the tolerance: this measures the bias,
on games whose values in float32 are known. A prediction with its map may only where the findings
of 99 in 100 images stay and no map's ranks correlate by less than .98. No package has been seen to
keep to both, so none is served in int8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from onnx import load_from_string

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, ImageTensor, LabelMap
from lightbox.explain.game import ImageGame, Masking
from lightbox.explain.quality.agreement import rank_correlation
from lightbox.explain.shapley_values.enumeration import coalitions, shapley_of_table
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.network import LOGITS
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.infer.runtimes.quantised import quantised
from lightbox.tools.bench.games import KnownGame
from lightbox.tools.bench.report import OURS, Case, in_milliseconds, interleaved, seconds_of
from lightbox.tools.doors import Doors

_CALIBRATION = 48
"""Masked images that ranges are calibrated on."""

_CHUNK = 256

AGREE = 0.99
"""Share of the images whose finding int8 must not change."""

MAPS_AGREE = 0.98
"""Least rank correlation of a map in int8 with the one in float32."""


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


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far int8 moves predictions and their maps.

    Attributes
    ----------
    findings : float
        Share of the images whose finding stays.
    maps : tuple of float
        Rank correlation with the map in float32, of each image that has one.
    forward : callable
        The network with its map, in int8.
    """

    images: int
    findings: float
    maps: tuple[float, ...]
    forward: Callable[[ImageTensor], Mapping[str, FloatMap]]

    @property
    def words(self) -> str:
        """Say it in one line, and what follows from it."""
        passes = self.findings >= AGREE and min(self.maps, default=0.0) >= MAPS_AGREE
        follows = "int8 keeps to both" if passes else "float32 is used"
        return (
            f"int8 leaves {self.findings:.1%} of {self.images} findings as they are (asked: "
            f"{AGREE:.0%}); rank correlation of the maps: median {np.median(self.maps):.3f}, "
            f"lowest {min(self.maps):.3f} (asked: {MAPS_AGREE:g}): {follows}"
        )


def agreement(
    runtime: OnnxRuntime, loaded: LoadedPackage, learned: FloatMap, images: FloatMap
) -> Agreement:
    """Compare predictions with their maps in int8 with those in float32.

    Parameters
    ----------
    runtime : OnnxRuntime
        In float32.
    loaded : LoadedPackage
        The model.
    learned : array, shape (M, C, H, W), float32
        Images that ranges are calibrated on.
    images : array, shape (B, C, H, W), float32
        That are compared.
    """
    spec = loaded.package.explanation
    graph = cam_graph(loaded.weights, "", spec.target_layer, spec.layer_layout, spec.method)
    trunk = len(load_from_string(loaded.weights).graph.node)  # what makes the map stays as it is
    small = quantised(graph.data, [learned[at : at + 1] for at in range(len(learned))], trunk)
    forward = runtime.opened(small)
    same, maps = [], []
    for at in range(len(images)):
        ours, theirs = runtime.predict(images[at : at + 1]), forward(images[at : at + 1])
        same.append(ours.logits.argmax() == theirs[LOGITS].argmax())
        if ours.cam is not None and np.ptp(ours.cam):
            pair = (cam.ravel().astype(np.float64) for cam in (ours.cam, theirs[CAM]))
            maps.append(rank_correlation(*pair) or 0.0)
    return Agreement(len(images), float(np.mean(same)), tuple(maps), forward)


def int8_cases(
    doors: Doors, loaded: LoadedPackage, images: FloatMap, rounds: int
) -> Iterator[Case]:
    """Say whether int8 keeps to the bar on a package's samples, and what it would save.

    Parameters
    ----------
    doors : Doors
        Around the model.
    loaded : LoadedPackage
        The model.
    images : array, shape (B, C, H, W), float32
        Ranges are calibrated on them, too: the best case for int8.
    rounds : int
        Paired rounds of the times.
    """
    found = agreement(doors.runtime, loaded, images, images)
    yield Case(
        "int8: findings as they are",
        100 * found.findings,
        "% of the samples",
        {"least": 100 * AGREE},
        note=found.words,
    )
    yield Case(
        "int8: the map that changes most",
        min(found.maps, default=0.0),
        "rank correlation",
        {"least": MAPS_AGREE},
    )
    one = images[:1]
    timed: dict[str, Callable[[], object]] = {
        OURS: partial(doors.runtime.predict, one),
        "int8": partial(found.forward, one),
    }
    contestants = {who: seconds_of(work, doors.clock) for who, work in timed.items()}
    measured = interleaved(contestants, rounds)
    yield in_milliseconds(measured).case("prediction with its map", "ms")


def _shown(masking: Masking, rows: CoalitionMatrix) -> FloatMap:
    out: FloatMap = np.where(
        rows[:, masking.regions][:, None], masking.image, masking.baseline
    ).astype(np.float32)
    return out
