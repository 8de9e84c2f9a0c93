"""Whether a package's maps may be shown: they should lie where the lesions of its samples are.

A network can be right without ever looking at the lesion. Its map is honest then, and would
mislead whoever sees it over the image: such a package is marked, and sends no map.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightbox.app.catalogue import methods
from lightbox.domain.model_package import FEWEST_MASKS, Explanation, misses
from lightbox.explain.plugin import MapMethod
from lightbox.explain.quality.localisation import plausibility
from lightbox.infer.package_check import CheckLine
from lightbox.infer.packages import MANIFEST, LoadedPackage
from lightbox.ports import Runtime
from lightbox.tools.map_measures import Sample

_QUESTION = "localisation"
_MARK = re.compile(r"^not_shown = .*\n", re.MULTILINE)
_HEAD = re.compile(r"^\[explanation\]\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Where the fast maps of images with masks lie.

    Attributes
    ----------
    images : int
        With a mask, of which the network did not say that there is nothing.
    pointing_game, mass : float
        Mean over them.
    chance : float
        Mean share of the image that the masks cover.
    """

    images: int
    pointing_game: float = 0.0
    mass: float = 0.0
    chance: float = 0.0

    @property
    def misses(self) -> str:
        """Why the maps are not fit to be shown; "" where they are, or where nobody knows."""
        if self.images < FEWEST_MASKS:
            return ""
        return misses(self.images, self.pointing_game, self.mass, self.chance)


def overlap_of(loaded: LoadedPackage, runtime: Runtime, samples: Sequence[Sample]) -> Overlap:
    """Measure the package's own fast map of each sample that has a mask.

    Raises
    ------
    UsageError
        If a mask has another size than its image.
    """
    package = loaded.package
    method = methods()[package.explanation.method]
    assert isinstance(method, MapMethod)
    found, shares = [], []
    for sample in samples:
        if sample.mask is None or not sample.mask.any():
            continue
        output = runtime.predict(sample.frame.tensor)
        if package.finding(int(output.logits[0].argmax())).negative:
            continue
        cells = method.cells(output).cells
        assert cells is not None
        source_map = sample.frame.geometry.attribution_to_source(cells)
        found.append(plausibility(source_map, sample.mask))
        shares.append(float(sample.mask.mean()))
    if not found:
        return Overlap(0)
    return Overlap(
        len(found),
        float(np.mean([each.pointing_game for each in found])),
        float(np.mean([each.mass for each in found])),
        float(np.mean(shares)),
    )


def localisation_line(spec: Explanation, overlap: Overlap) -> CheckLine:
    """Say whether the maps may be shown, and whether the manifest says the same.

    Where ``models check --measure`` saw more images than there are samples, those decide.
    """
    where = f"maximum in the lesion in {overlap.pointing_game:.0%} of {overlap.images} samples"
    measured = [each for each in spec.measured if each.method == spec.method]
    more = [each for each in measured if each.chance is not None and each.images > overlap.images]
    why = more[0].misses if more else overlap.misses
    if spec.not_shown:
        return CheckLine(_QUESTION, passed=True, answer=f"no map is sent: {spec.not_shown}")
    if why:
        mend = "mark it by lightbox models check DIR --write-expected: then no map is sent"
        return CheckLine(_QUESTION, passed=False, answer=f"{why}; {mend}")
    if more:
        where = f"maximum in the lesion in {more[0].pointing_game:.0%} of {more[0].images} images"
    elif overlap.images < FEWEST_MASKS:
        where = (
            f"not known: {overlap.images} samples with masks, at least {FEWEST_MASKS} are needed"
        )
    return CheckLine(_QUESTION, passed=True, answer=where)


def mark(folder: Path, why: str) -> None:
    """Write into the manifest why no map is sent, or take away what was written so.

    Parameters
    ----------
    folder : Path
        The package.
    why : str
        As :func:`~lightbox.domain.model_package.misses` says it; "" where the maps are fit.
    """
    path = folder / MANIFEST
    text = _MARK.sub("", path.read_text(encoding="utf-8"))
    if why and not _HEAD.search(text):
        text += "\n[explanation]\n"
    if why:
        text = _HEAD.sub(f'[explanation]\nnot_shown = "{why}"\n', text, count=1)
    path.write_text(text, encoding="utf-8")
