"""Onboarding of a model: every fast map measured on images, and each baseline's share of evidence.

What a review of the field, or habit, calls the best map is not the best one of this network: the
default is chosen by overlap and faithfulness, and what does not depend on the weights is unfit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor, Mask, PlayerValues
from lightbox.domain.frame import Frame
from lightbox.domain.model_package import BASELINES, FAST_METHODS, Measured
from lightbox.explain.baselines.choice import NEEDS_BACKGROUND, baseline_of
from lightbox.explain.game import ImageGame, Masking, Question
from lightbox.explain.players.choice import regions_of
from lightbox.explain.players.grid import grid_regions
from lightbox.explain.plugin import MapMethod
from lightbox.explain.quality.agreement import rank_correlation, region_means
from lightbox.explain.quality.deletion_insertion import area, prefixes
from lightbox.explain.quality.localisation import plausibility
from lightbox.infer.graphs.randomised import layers_of, randomised
from lightbox.infer.packages import LoadedPackage
from lightbox.ports import Output, Runtime

GRID = (5, 5)
"""Regions of the deletion and insertion curves: finer than an audit's, or all maps look alike."""

RANDOM_ORDERS = 2
STAGES = 4
"""Steps of the randomisation, from the last layer to all of them."""

_BATCH = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """An image to measure on, with the finding's mask in source pixels where there is one."""

    frame: Frame
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Onboarding:
    """What was measured.

    Attributes
    ----------
    maps : tuple of Measured
        One per map method.
    randomisation : mapping of str to tuple of float
        Rank correlation with the map of the network whose last layers were drawn anew, by stage.
    baselines : mapping of str to float
        Median of v(empty) / v(all): what each baseline leaves of the evidence.
    """

    maps: tuple[Measured, ...]
    randomisation: Mapping[str, tuple[float, ...]]
    baselines: Mapping[str, float]

    @property
    def best(self) -> Measured | None:
        """The fast map of most merit among the fit ones; None where none is fit."""
        able = [each for each in self.maps if each.method in FAST_METHODS and not each.unfit]
        return max(able, key=lambda each: each.merit, default=None)


class Measuring:
    """Measures one package.

    Parameters
    ----------
    loaded : LoadedPackage
        The package; its own baseline and link are used.
    start : callable
        Opens a runtime on it, or on a copy with other weights.
    methods : mapping of str to MapMethod
        What is measured.
    """

    def __init__(
        self,
        loaded: LoadedPackage,
        start: Callable[[LoadedPackage], Runtime],
        methods: Mapping[str, MapMethod],
    ) -> None:
        self._loaded, self._start, self._methods = loaded, start, methods
        self._runtime = start(loaded)

    def run(
        self,
        samples: Sequence[Sample],
        shown: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
    ) -> Onboarding:
        """Measure on these images; ``shown`` may draw a bar around them.

        Raises
        ------
        ModelPackageError
            If a graph cannot be made.
        """
        tensors = np.concatenate([sample.frame.tensor for sample in samples])
        targets = tuple(int(i) for i in self._logits(tensors).argmax(axis=1))
        maps = self._maps(self._runtime, tensors, targets)
        faithful: list[dict[str, tuple[float, float]]] = []
        for number, sample in enumerate(shown(samples)):
            of_sample = {name: cells[number] for name, cells in maps.items()}
            faithful.append(self._faithfulness(sample, targets[number], of_sample))
        stages = self._randomisation(tensors, targets, maps)
        found = []
        for name, cells in maps.items():
            insertion, deletion = np.mean([each[name] for each in faithful], axis=0)
            measured = Measured(
                method=name,
                images=len(samples),
                insertion=round(float(insertion), 4),
                deletion=round(float(deletion), 4),
                randomisation=round(stages[name][-1], 4),
            )
            found.append(measured.model_copy(update=_overlap(samples, cells)))
        return Onboarding(tuple(found), stages, self._evidence_left(samples, targets))

    def _logits(self, tensors: ImageTensor) -> FloatMap:
        parts = [tensors[at : at + _BATCH] for at in range(0, len(tensors), _BATCH)]
        return np.concatenate([self._runtime.predict(part).logits for part in parts])

    def _maps(
        self, runtime: Runtime, tensors: ImageTensor, targets: tuple[int, ...]
    ) -> dict[str, list[FloatMap]]:
        """Cells of each method for each image."""
        maps: dict[str, list[FloatMap]] = {name: [] for name in self._methods}
        for at in range(0, len(tensors), _BATCH):
            output = runtime.layers(tensors[at : at + _BATCH], targets[at : at + _BATCH])
            for row in range(len(output.logits)):
                alone = _row(output, row)
                for name, method in self._methods.items():
                    cells = method.cells(alone).cells
                    assert cells is not None
                    maps[name].append(cells)
        return maps

    def _game(self, sample: Sample, target: int) -> tuple[ImageGame, Masking]:
        package, frame = self._loaded.package, sample.frame
        regions = grid_regions(frame.geometry, GRID)
        spec, background = package.explanation, self._loaded.background
        baseline = baseline_of(spec, frame.tensor, regions, background)
        masking = Masking(frame.tensor[0], baseline, regions)
        question = Question(target, spec.link, package.calibration.temperature, package.sha256)
        return ImageGame(self._runtime, masking, question, None), masking

    def _faithfulness(
        self, sample: Sample, target: int, maps: Mapping[str, FloatMap]
    ) -> dict[str, tuple[float, float]]:
        """Return insertion and deletion of each map's order, minus the mean of random orders."""
        game, masking = self._game(sample, target)
        geometry, n = sample.frame.geometry, masking.n_players
        players = geometry.labels_to_source(masking.regions)
        draw = np.random.default_rng(0)
        chance = np.mean([_curves(game, draw.random(n)) for _ in range(RANDOM_ORDERS)])
        found = {}
        for name, cells in maps.items():
            order = region_means(geometry.attribution_to_source(cells), players, n)
            insertion, deletion = _curves(game, order)
            found[name] = (insertion - float(chance), deletion - float(chance))
        return found

    def _randomisation(
        self,
        tensors: ImageTensor,
        targets: tuple[int, ...],
        maps: Mapping[str, list[FloatMap]],
    ) -> dict[str, tuple[float, ...]]:
        """Mean rank correlation with the maps of ever more random networks."""
        weights, thing = self._loaded.weights, str(self._loaded.folder)
        total = layers_of(weights, thing)
        stages: dict[str, list[float]] = {name: [] for name in maps}
        for last in np.unique(np.linspace(1, total, STAGES).round().astype(int)):
            other = replace(self._loaded, weights=randomised(weights, thing, int(last), seed=0))
            untaught = self._maps(self._start(other), tensors, targets)
            for name, cells in maps.items():
                pairs = zip(cells, untaught[name], strict=True)
                stages[name].append(float(np.mean([alike(one, two) for one, two in pairs])))
        return {name: tuple(values) for name, values in stages.items()}

    def _evidence_left(
        self, samples: Sequence[Sample], targets: tuple[int, ...]
    ) -> dict[str, float]:
        """Median of v(empty) / v(all) in probability, for each baseline that can be made."""
        package, background = self._loaded.package, self._loaded.background
        left: dict[str, float] = {}
        for kind in BASELINES:
            if kind in NEEDS_BACKGROUND and background is None:
                continue
            spec, shares = package.explanation.model_copy(update={"baseline": kind}), []
            for sample, target in zip(samples, targets, strict=True):
                frame = sample.frame
                regions = regions_of(spec, frame)
                hidden = baseline_of(spec, frame.tensor, regions, background)[None]
                both = np.concatenate([hidden, frame.tensor])
                ask = Question(target, "probability", package.calibration.temperature, "")
                empty, full = ask.value(self._logits(both))
                shares.append(empty / full)
            left[kind] = float(np.median(shares))
        return left


def alike(one: FloatMap, other: FloatMap) -> float:
    """Spearman's rank correlation of two maps; 0 where either says nothing."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    return rank_correlation(*(each.astype(np.float64).ravel() for each in (one, other))) or 0.0


def _row(output: Output, row: int) -> Output:
    assert output.activation is not None
    assert output.gradient is not None
    one = slice(row, row + 1)
    return Output(output.logits[one], None, output.activation[one], output.gradient[one])


def _curves(game: ImageGame, order: PlayerValues) -> tuple[float, float]:
    """Mean of v while regions come in this order, and while they go."""
    coming = prefixes(order)
    return area(game.value(coming)), area(game.value(~coming))


def _overlap(samples: Sequence[Sample], cells: Sequence[FloatMap]) -> dict[str, float]:
    found = [
        plausibility(sample.frame.geometry.attribution_to_source(each), sample.mask)
        for sample, each in zip(samples, cells, strict=True)
        if sample.mask is not None and sample.mask.any()
    ]
    if not found:
        return {}
    masks = [each.mask for each in samples if each.mask is not None and each.mask.any()]
    return {
        "pointing_game": round(float(np.mean([each.pointing_game for each in found])), 4),
        "mass": round(float(np.mean([each.mass for each in found])), 4),
        "chance": round(float(np.mean([mask.mean() for mask in masks])), 4),
    }
