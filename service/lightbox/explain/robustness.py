"""How much of an explanation stays when its conditions change a little.

With a second baseline: the order of the regions by what hiding each alone costs. With noise, and
with small changes looked for on purpose: the fast map. An audit's values under noise would cost an
audit each and are not measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor, PlayerValues
from lightbox.domain.attribution import Attribution
from lightbox.domain.model_package import Baseline, Explanation
from lightbox.explain.baselines.choice import NEEDS_BACKGROUND, baseline_of
from lightbox.explain.game import ImageGame, Masking, Question
from lightbox.explain.judge import Played
from lightbox.explain.quality.agreement import in_steps, rank_correlation
from lightbox.explain.quality.stability import (
    ROUNDS,
    changed_copies,
    noisy_copies,
    relative_change,
)
from lightbox.explain.subject import Subject
from lightbox.ports import Runtime


class Robustness:
    """Measurements beside an audit: drive :meth:`steps`, then take :meth:`quality`.

    Parameters
    ----------
    subject : Subject
        What is explained.
    runtime : Runtime
        Of the same model; used only while ``next()`` runs.
    fast : Attribution or None
        The fast map; where it is not the package's own of the winning class, or there is none, its
        stability is not measured.
    masking : Masking
        Image, baseline and regions of the audit.
    question : Question
        What v is.
    chunk : int
        Most images of one step.

    Attributes
    ----------
    second : str
        Kind of the second baseline; "" where there is none.
    """

    def __init__(
        self,
        subject: Subject,
        runtime: Runtime,
        fast: Attribution | None,
        masking: Masking,
        question: Question,
        chunk: int,
    ) -> None:
        spec, tensor = subject.package.explanation, subject.frame.tensor
        self._runtime, self._tensor, self._chunk = runtime, tensor, chunk
        self._target, self._method = subject.prediction.target, spec.method
        self._fast = fast
        self._found: dict[str, float] = {}
        self._alone: PlayerValues | None = None
        self._game: ImageGame | None = None
        self.second = second_baseline(spec, has_background=subject.background is not None)
        if self.second:
            other = spec.model_copy(update={"baseline": self.second})
            baseline = baseline_of(other, tensor, masking.regions, subject.background)
            self._game = ImageGame(runtime, replace(masking, baseline=baseline), question, None)

    def steps(self) -> Iterator[None]:
        """Measure, a chunk at a time."""
        yield from self._second_occlusion()
        cells = self._own_cells()
        if cells is not None:
            yield from self._noise(cells)
            yield from self._search(cells)

    def quality(self, played: Played) -> dict[str, float]:
        """Return what was found, by metric name."""
        if self._alone is None:
            return self._found
        first, second = (
            in_steps(values, played.resolution) for values in (played.occlusion, self._alone)
        )
        agreement = rank_correlation(first, second)
        return self._found if agreement is None else self._found | {"agreement_baseline": agreement}

    def _second_occlusion(self) -> Iterator[None]:
        if self._game is None:
            return
        n = self._game.n_players
        rows = np.ones((n + 1, n), dtype=np.bool_)
        rows[np.arange(n) + 1, np.arange(n)] = False
        for start in range(0, n + 1, self._chunk):
            self._game.value(rows[start : start + self._chunk])
            yield
        values = self._game.value(rows)
        self._alone = values[0] - values[1:]

    def _own_cells(self) -> FloatMap | None:
        """Cells of the fast map, if it is what the prediction's own pass gives."""
        fast = self._fast
        if fast is None or fast.method != self._method or fast.target != self._target:
            return None
        return fast.estimate.cells

    def _noise(self, cells: FloatMap) -> Iterator[None]:
        changes = []
        for copies in self._parts(noisy_copies(self._tensor)):
            changes += [relative_change(cells, other) for other in self._maps(copies)[0]]
            yield
        if changes:
            self._found["stability"] = max(changes)

    def _search(self, cells: FloatMap) -> Iterator[None]:
        """Look for a small change that moves the map and keeps the finding."""
        lowest, best = math.inf, None
        for number in range(ROUNDS):
            for copies in self._parts(changed_copies(self._tensor, best, number)):
                maps, kept = self._maps(copies)
                for other, index in zip(maps, kept, strict=True):
                    flat = (each.astype(np.float64).ravel() for each in (cells, other))
                    alike = rank_correlation(*flat) or 0.0
                    if alike < lowest:
                        lowest, best = alike, copies[index]
                yield
        if best is not None:  # at least one change kept the finding
            self._found["stability_adversarial"] = lowest

    def _parts(self, images: ImageTensor) -> Iterator[ImageTensor]:
        for start in range(0, len(images), self._chunk):
            yield images[start : start + self._chunk]

    def _maps(self, images: ImageTensor) -> tuple[list[FloatMap], list[int]]:
        """Return the maps of the images that keep the finding, and which they are."""
        output = self._runtime.predict(images)
        kept = [int(i) for i in np.flatnonzero(output.logits.argmax(axis=1) == self._target)]
        if output.cam is None:
            return [], []
        return [output.cam[i] for i in kept], kept


def second_baseline(spec: Explanation, *, has_background: bool) -> Baseline | str:
    """Return the kind to compare with: the manifest's, or blur where that is the first one too."""
    second = spec.second_baseline
    if second == spec.baseline:
        second = "blur" if spec.baseline != "blur" else "mean"
    return "" if second in NEEDS_BACKGROUND and not has_background else second
