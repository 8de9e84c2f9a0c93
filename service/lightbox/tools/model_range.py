"""``lightbox models range``: what a network knows, learned from images of its own training.

An image whose features lie far from those of every image that the network learned from gets no
answer, however sure the network is of it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.feature_range import FeatureRange, range_of
from lightbox.infer.graphs.range_graph import features_graph
from lightbox.infer.package_check import CheckLine
from lightbox.infer.packages import MANIFEST, RANGE, WEIGHTS, LoadedPackage, digest
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.ports import Runtime
from lightbox.tools.map_measures import Sample

_BATCH = 8
_QUESTION = "range"
_TABLE = re.compile(r"\n*^\[range\]\n(?:(?!\[).*\n?)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Learned:
    """What a network knows, and how far images lie from it that it should know.

    Attributes
    ----------
    threshold : float
        Distance within which all but ``outside`` of the validation images lie.
    images : int
        Validation images.
    """

    known: FeatureRange
    layer: str
    threshold: float
    images: int


def learned(
    loaded: LoadedPackage,
    images: ImageTensor,
    validation: ImageTensor,
    *,
    layer: str = "",
    outside: float = 0.005,
) -> Learned:
    """Learn where the features of training images lie, grouped by what the network says of them.

    Parameters
    ----------
    loaded : LoadedPackage
        The model.
    images, validation : array, shape (n, C, H, W)
        Inputs of the network: those that it learned from, and others that it should know.
    layer : str
        Tensor whose features are taken; empty: the last one, as for maps.
    outside : float
        Share of the validation images that may lie outside.

    Raises
    ------
    ModelPackageError
        If there is no such layer.
    """
    thing, spec = str(loaded.folder / WEIGHTS), loaded.package.explanation
    runtime = OnnxRuntime(loaded, "cpu")
    name = layer or spec.target_layer
    features = runtime.bare(features_graph(loaded.weights, thing, name, spec.layer_layout))
    answers = _in_batches(lambda part: runtime.predict(part).logits, images)
    known = range_of(_in_batches(features, images), answers.argmax(axis=1))
    distances = known.distance(_in_batches(features, validation))
    threshold = round(float(np.quantile(distances, 1.0 - outside)), 2)
    return Learned(known, name, threshold, len(validation))


def write_range(folder: Path, found: Learned, data: str) -> None:
    """Write ``range.npz`` and the manifest's table ``[range]``.

    Parameters
    ----------
    folder : Path
        The package.
    found : Learned
    data : str
        On which images the threshold was set, in words.
    """
    stream = io.BytesIO()
    np.savez(stream, means=found.known.means, whitening=found.known.whitening)
    (folder / RANGE).write_bytes(stream.getvalue())
    path = folder / MANIFEST
    text = _TABLE.sub("\n", path.read_text(encoding="utf-8")).rstrip() + "\n"
    layer = f'layer = "{found.layer}"\n' if found.layer else ""
    path.write_text(
        f"{text}\n[range]\n"
        f'sha256 = "{digest(stream.getvalue())}"\n{layer}'
        f"threshold = {found.threshold}\nimages = {found.images}\n"
        f'data = "{data}"\n',
        encoding="utf-8",
    )


def range_line(loaded: LoadedPackage, runtime: Runtime, samples: Sequence[Sample]) -> CheckLine:
    """Say how far the samples are from what the network knows; noise must be farther."""
    stated = loaded.package.range
    if stated is None:
        answer = "not stated: every image that the rules let through gets an answer"
        return CheckLine(_QUESTION, passed=True, answer=answer)
    tensors = np.concatenate([each.frame.tensor for each in samples])
    farthest = float(_distances(runtime, tensors).max())
    low, high = float(tensors.min()), float(tensors.max())
    draw = np.random.default_rng(0)
    noise = draw.uniform(low, high, (_BATCH, *tensors.shape[1:])).astype(np.float32)
    nearest = float(_distances(runtime, noise).min())
    said = f"{len(samples)} samples at {farthest:.1f} or nearer, noise at {nearest:.1f}"
    words = f"{said}; at most {stated.threshold:.1f} is inside"
    return CheckLine(_QUESTION, farthest <= stated.threshold < nearest, words)


def _distances(runtime: Runtime, tensors: ImageTensor) -> FloatMap:
    def distance(part: ImageTensor) -> FloatMap:
        found = runtime.predict(part).distance
        assert found is not None
        return found

    return _in_batches(distance, tensors)


def _in_batches(run: Callable[[ImageTensor], FloatMap], images: ImageTensor) -> FloatMap:
    parts = [run(images[at : at + _BATCH]) for at in range(0, len(images), _BATCH)]
    return np.concatenate(parts)
