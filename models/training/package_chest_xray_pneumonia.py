"""Make the package ``models/chest_xray_pneumonia`` out of trained weights; measure its card.

    python models/training/package_chest_xray_pneumonia.py CHILDREN ADULTS RUN/weights.pt
        [--images 24] [--measure-only]

CHILDREN and ADULTS are the folders of ``chest_xray_pneumonia.py``; ADULTS has ``boxes.csv`` too.
Refuses to write a package that misses its bars (balanced accuracy of validation children, and what
their borders alone give); with ``--measure-only`` it prints the figures and writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chest_samples import write_samples
from chest_xray_pneumonia import (
    CLASSES,
    PREPROCESSING,
    Chests,
    balanced_accuracy,
    border_alone,
    border_erased,
    load,
    logits_of,
)
from lightbox.domain.arrays import Mask
from lightbox.domain.frame import Frame
from lightbox.domain.prediction import FrameRef
from lightbox.infer.packages import LoadedPackage, digest
from lightbox.infer.packages import load as load_package
from lightbox.infer.preprocess import geometry_for
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import Settings
from lightbox.tools.map_measures import Onboarding, Sample
from lightbox.tools.model_check import map_methods, write_expected, write_measured
from map_figures import NAMES, exported, onboarding, spread
from measures import (
    calibration_error,
    confusion,
    cross_fitted,
    f2,
    fitted_temperature,
    kappa,
    localisation,
    softmax,
)
from network import UngatedResNet

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "chest_xray_pneumonia"
LEAST_BALANCED, MOST_ALONE = 0.95, 0.55
"""The bars: of validation children, and of their borders alone."""


def samples_of(chests: Chests, boxes: dict[str, Mask]) -> list[Sample]:
    """Return the images as the product would decode them, with their boxes as masks."""
    found = []
    for tensor, file in zip(chests.images, chests.files, strict=True):
        picture = np.asarray(Image.open(file).convert("L"))
        geometry = geometry_for(PREPROCESSING, picture.shape)
        frame = Frame(FrameRef(file), tensor.numpy()[None], picture, geometry, None)
        found.append(Sample(frame, boxes.get(Path(file).stem)))
    return found


def boxes_of(adults: Path) -> dict[str, Mask]:
    """Read the boxes as masks of 256 x 256 pixels, by image."""
    masks: dict[str, Mask] = {}
    with (adults / "boxes.csv").open() as stream:
        for row in csv.DictReader(stream):
            mask = masks.setdefault(row["id"], np.zeros((256, 256), np.bool_))
            x0, y0, x1, y1 = (round(float(row[key])) for key in ("x0", "y0", "x1", "y1"))
            mask[y0:y1, x0:x1] = True
    return masks


def population(net: UngatedResNet, chests: Chests, name: str) -> dict[str, float]:
    """Return the figures of one population, keys beginning with its name."""
    logits = logits_of(net, chests.images)
    labels, array = chests.labels.numpy(), logits.numpy().astype(np.float64)
    table = confusion(array.argmax(1), labels)
    fitted = cross_fitted(array, labels, chests.groups)

    def of(images: Tensor) -> float:
        return balanced_accuracy(logits_of(net, images), chests.labels)

    found = {
        "images": len(labels),
        "patients": len(set(chests.groups)),
        "balanced": balanced_accuracy(logits, chests.labels),
        "specificity": float(table[0, 0] / table[0].sum()),
        "sensitivity": float(table[1, 1] / table[1].sum()),
        "accuracy": float(np.trace(table) / table.sum()),
        "kappa": kappa(table),
        "f2": f2(table),
        "erased": of(border_erased(chests.images)),
        "alone": of(border_alone(chests.images)),
        "ece_before": calibration_error(softmax(array, 1.0), labels),
        "ece": calibration_error(fitted, labels),
    }
    return {f"{name}_{key}": value for key, value in found.items()}


def boxed(loaded: LoadedPackage, samples: Sequence[Sample]) -> dict[str, float]:
    """Say where the default map points on images with boxes."""
    runtime, method = OnnxRuntime(loaded), map_methods()[loaded.package.explanation.method]
    able = [sample for sample in samples if sample.mask is not None]
    maps = []
    for sample in able:
        cells = method.cells(runtime.layers(sample.frame.tensor, (1,))).cells
        assert cells is not None
        maps.append(sample.frame.geometry.attribution_to_source(cells).astype(np.float64))
    masks = [sample.mask for sample in able if sample.mask is not None]
    at = localisation(maps, masks, reach=8, spacing_mm=1.0)
    return {"boxes": len(able), "hit": at.hit, "near": at.near, "times_chance": at.times_chance}


def chosen_samples(chests: Chests) -> list[tuple[Path, str, str, bool]]:
    """Pick six children and four adults, one of a patient, both classes alike."""
    picked: list[tuple[Path, str, str, bool]] = []
    for adult, each in ((False, 3), (True, 2)):
        for label, name in enumerate(CLASSES):
            seen: dict[str, int] = {}
            for i in range(len(chests.labels)):
                if bool(chests.adult[i]) == adult and int(chests.labels[i]) == label:
                    seen.setdefault(chests.groups[i], i)
            groups = sorted(seen)
            for at in np.linspace(0, len(groups) - 1, each + 2).astype(int)[1:-1]:
                i = seen[groups[at]]
                picked.append((Path(chests.files[i]), groups[at], name, adult))
    return picked


def card(loaded: LoadedPackage, figures: dict[str, Any], measured: Onboarding) -> str:
    """Fill ``CARD.md`` from its template."""
    faithful = [
        f"| {NAMES.get(each.method, each.method)} | {each.insertion:+.3f} | {each.deletion:+.3f} "
        f"| {' / '.join(f'{stage:.2f}' for stage in measured.randomisation[each.method])} "
        f"| {each.merit:.3f} | {'unfit' if each.unfit else 'fit'} |"
        for each in sorted(measured.maps, key=lambda each: -each.merit)
    ]
    left = sorted(measured.baselines.items(), key=lambda item: item[1])
    text = Template((HERE / "chest_xray_pneumonia_card.md").read_text())
    return text.substitute(
        {k: f"{v:.3f}" if isinstance(v, float) else str(v) for k, v in figures.items()}
        | {"temperature": f"{loaded.package.calibration.temperature:.2f}"},
        measured_images=measured.maps[0].images,
        default=NAMES[loaded.package.explanation.method],
        faithfulness="\n".join(faithful),
        baselines="\n".join(f"| {kind} | {share:.2f} |" for kind, share in left),
        version=loaded.package.version,
        sha256=loaded.package.sha256,
        megabytes=f"{len(loaded.weights) / 1e6:.1f}",
    )


def network_of(weights: Path) -> UngatedResNet:
    """Load a trained network."""
    net = UngatedResNet(len(CLASSES))
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    return net


def write_manifest(file: Path, figures: dict[str, Any]) -> None:
    """Fill ``model.toml`` from its template."""
    text = Template((HERE / "chest_xray_pneumonia.toml").read_text())
    told = {k: f"{v:.4f}" if isinstance(v, float) else str(v) for k, v in figures.items()}
    told["temperature"] = f"{figures['temperature']:.2f}"
    (PACKAGE / "model.toml").write_text(text.substitute(told, sha256=digest(file.read_bytes())))


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("children", type=Path)
    parser.add_argument("adults", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, default=24, help="for deletion and randomisation")
    parser.add_argument("--measure-only", action="store_true")
    given = parser.parse_args()
    chests, net = load(given.children, given.adults, "val"), network_of(given.weights)
    figures: dict[str, Any] = {
        **population(net, chests.part(~chests.adult), "children"),
        **population(net, chests.part(chests.adult), "adults"),
    }
    logits = logits_of(net, chests.images).numpy().astype(np.float64)
    figures["temperature"] = round(fitted_temperature(logits, chests.labels.numpy()), 2)
    for key, value in figures.items():
        print(f"{key}: {value:.4f}")
    missed = figures["children_balanced"] < LEAST_BALANCED or figures["children_alone"] > MOST_ALONE
    if given.measure_only or missed:
        print("it misses its bars: no package is made" if missed else "it reaches its bars")
        return int(missed)
    PACKAGE.mkdir(exist_ok=True)
    exported(net, PREPROCESSING.size, PACKAGE / "weights.onnx")
    write_manifest(PACKAGE / "weights.onnx", figures)
    write_samples(chosen_samples(chests), PACKAGE / "samples")
    write_expected(PACKAGE, Settings())
    samples = samples_of(chests, boxes_of(given.adults))
    loaded = load_package(PACKAGE)
    measured = onboarding(loaded, spread(samples, chests.groups, given.images))
    write_measured(PACKAGE, measured)
    loaded = load_package(PACKAGE)
    figures |= boxed(loaded, samples)
    (PACKAGE / "CARD.md").write_text(card(loaded, figures, measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
