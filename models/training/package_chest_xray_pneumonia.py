"""Make the package ``models/chest_xray_pneumonia`` out of trained weights; measure its card.

    python models/training/package_chest_xray_pneumonia.py CHILDREN ADULTS RUN/weights.pt
        [--images 24] [--audits 12] [--control KEPT/weights.pt] [--measure-only]

CHILDREN and ADULTS are the folders of ``chest_xray_pneumonia.py``; ADULTS has ``boxes.csv`` too.
KEPT is a run with ``--borders-kept``: what the shortcut looks like where nobody took it away.
Says whether the bars are reached (balanced accuracy of validation children, and what their borders
alone give); with ``--measure-only`` it prints the figures and writes nothing.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from border import border_alone, border_erased
from brain_tumour_mri import rows_of
from chest_samples import write_samples
from chest_shortcut import audited, two_players
from chest_xray_pneumonia import (
    CLASSES,
    PREPROCESSING,
    Chests,
    balanced_accuracy,
    load,
    logits_of,
)
from lightbox.domain.arrays import Mask
from lightbox.domain.model_package import Measured, misses
from lightbox.infer.packages import LoadedPackage, digest
from lightbox.infer.packages import load as load_package
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import Settings
from lightbox.tools.localisation import mark
from lightbox.tools.map_measures import Onboarding, Sample
from lightbox.tools.model_check import map_methods, write_expected, write_measured
from map_figures import exported, onboarding, spread
from measures import (
    Array,
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
from package_files import (
    as_sample,
    baseline_rows,
    in_words,
    map_rows,
    with_weights,
    write_card,
    write_manifest,
)

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "chest_xray_pneumonia"
LEAST_BALANCED, MOST_ALONE = 0.95, 0.55
"""The bars: of validation children, and of their borders alone."""
BORDER_ROWS = (
    ("balanced accuracy", ("all_balanced",)),
    ("the same, border erased", ("all_erased",)),
    ("the same, **border alone** (0.5: no shortcut)", ("all_alone",)),
    ("area under the ROC curve, border alone", ("all_alone_auc",)),
    (
        "exact Shapley values of two players, border; inside (v: probability of the true class)",
        ("two_border", "two_inside"),
    ),
    (
        "audits of 7 x 7 regions: share of the absolute values in the outer ring; of the area",
        ("audit_ring", "audit_area"),
    ),
    (
        "audits of 7 x 7 regions: sum of the ring's values; v(all) - v(none)",
        ("audit_signed", "audit_evidence"),
    ),
)
"""What the card says of the border, and the figures of each network that it says it by."""
SAMPLES = 5
"""Children of each class in ``samples/``."""


def samples_of(chests: Chests, boxes: dict[str, Mask]) -> list[Sample]:
    """Return the images as the product would decode them, with their boxes as masks."""
    return [
        as_sample(
            Path(file), file, tensor.numpy()[None], PREPROCESSING, mask=boxes.get(Path(file).stem)
        )
        for tensor, file in zip(chests.images, chests.files, strict=True)
    ]


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
        "auc": area_under_curve(array, labels),
        "alone_auc": area_under_curve(
            logits_of(net, border_alone(chests.images)).numpy().astype(np.float64), labels
        ),
        "ece_before": calibration_error(softmax(array, 1.0), labels),
        "ece": calibration_error(fitted, labels),
    }
    return {f"{name}_{key}": value for key, value in found.items()}


def area_under_curve(logits: Array, labels: npt.NDArray[np.int64]) -> float:
    """Return the chance that an image of class 1 scores above one of class 0; ties count half."""
    score = logits[:, 1] - logits[:, 0]
    above = score[labels == 1][:, None] - score[labels == 0][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def recalls(net: UngatedResNet, children: Chests, folder: Path) -> dict[str, float]:
    """Return the share of right answers by what the source calls the image, with its germs."""
    called = [row["label"] for row in rows_of(folder, "val")]
    right = logits_of(net, children.images).argmax(1) == children.labels
    of = {name: [i for i, each in enumerate(called) if each == name] for name in set(called)}
    return {f"recall_{name}": float(right[at].float().mean()) for name, at in of.items()}


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
    return {
        "boxes": len(able),
        "hit": at.hit,
        "near": at.near,
        "mass": at.mass,
        "times_chance": at.times_chance,
        "chance": at.mass / at.times_chance,
    }


def chosen_samples(children: Chests) -> list[tuple[Path, str, str]]:
    """Pick ten children, one image of each, both classes alike, right or wrong."""
    picked: list[tuple[Path, str, str]] = []
    for label, name in enumerate(CLASSES):
        seen: dict[str, int] = {}
        for i in (children.labels == label).nonzero().flatten():
            seen.setdefault(children.groups[int(i)], int(i))
        groups = sorted(seen)
        spread_out = np.linspace(0, len(groups) - 1, SAMPLES + 2).astype(int)[1:-1]
        picked += [(Path(children.files[seen[groups[i]]]), groups[i], name) for i in spread_out]
    return picked


def bars(figures: dict[str, Any]) -> str:
    """Say what was to be reached, and whether it was."""
    said = {True: "reached", False: "**missed**"}
    return (
        f"balanced accuracy of children at least {LEAST_BALANCED:.2f}: "
        f"{said[figures['children_balanced'] >= LEAST_BALANCED]}; "
        f"of their borders alone at most {MOST_ALONE:.2f}: "
        f"{said[figures['children_alone'] <= MOST_ALONE]}"
    )


def faithful(each: Measured, stages: str) -> list[str]:
    """Return what the card says of one map."""
    return [f"{each.insertion:+.3f}", f"{each.deletion:+.3f}", stages, f"{each.merit:.3f}"]


def network_of(weights: Path) -> UngatedResNet:
    """Load a trained network."""
    return with_weights(UngatedResNet(len(CLASSES)), weights)


def shortcut(
    net: UngatedResNet, loaded: LoadedPackage, children: Chests, samples: Sequence[Sample]
) -> dict[str, Any]:
    """Return what falls to the border in a network; ``loaded`` is a package with its weights."""
    found: dict[str, Any] = population(net, children, "all")
    found |= {f"two_{k}": v for k, v in two_players(net, children).items()}
    return found | {f"audit_{k}": v for k, v in audited(loaded, samples).items()}


def with_network(loaded: LoadedPackage, net: UngatedResNet) -> LoadedPackage:
    """Return the package with the weights of another network."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "weights.onnx"
        exported(net, PREPROCESSING.size, file)
        return replace(loaded, weights=file.read_bytes())


def shortcut_table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of the border: one column of each network."""
    rows = [f"| | {' | '.join(found)} |", "|---|" + "---|" * len(found)]
    for words, keys in BORDER_ROWS:
        cells = ["; ".join(f"{each[key]:.3f}" for key in keys) for each in found.values()]
        rows.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(rows)


def written(
    net: UngatedResNet, figures: dict[str, Any], children: Chests, samples: Sequence[Sample]
) -> Onboarding:
    """Write everything but the card; return what was measured of the maps."""
    PACKAGE.mkdir(exist_ok=True)
    exported(net, PREPROCESSING.size, PACKAGE / "weights.onnx")
    sha256 = digest((PACKAGE / "weights.onnx").read_bytes())
    write_manifest(PACKAGE, {**in_words(figures, 4), "sha256": sha256})
    write_samples(chosen_samples(children), PACKAGE / "samples")
    write_expected(PACKAGE, Settings())
    measured = onboarding(load_package(PACKAGE), samples)
    write_measured(PACKAGE, measured)
    return measured


def arguments() -> argparse.Namespace:
    """Read the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("children", type=Path)
    parser.add_argument("adults", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, default=24, help="for deletion and randomisation")
    parser.add_argument("--audits", type=int, default=12, help="of the border")
    parser.add_argument("--control", type=Path, help="weights of a run with --borders-kept")
    parser.add_argument("--measure-only", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run all of it."""
    given = arguments()
    chests, net = load(given.children, given.adults, "val"), network_of(given.weights)
    children, adults = chests.part(~chests.adult), chests.part(chests.adult)
    figures: dict[str, Any] = {
        **population(net, children, "children"),
        **population(net, adults, "adults"),
        **recalls(net, children, given.children),
    }
    logits = logits_of(net, children.images).numpy().astype(np.float64)
    figures["temperature"] = round(fitted_temperature(logits, children.labels.numpy()), 2)
    for key, value in figures.items():
        print(f"{key}: {value:.4f}")
    print(bars(figures))
    if given.measure_only:
        return
    samples = samples_of(children, {})
    measured = written(net, figures, children, spread(samples, children.groups, given.images))
    loaded = load_package(PACKAGE)
    figures |= boxed(loaded, samples_of(adults, boxes_of(given.adults)))
    if why := misses(*(figures[key] for key in ("boxes", "hit", "mass", "chance"))):
        mark(PACKAGE, f"{why} (adults: no child has a box)")
    few = spread(samples, children.groups, given.audits)
    networks = {"shipped": shortcut(net, loaded, children, few)}
    if given.control is not None:
        other = network_of(given.control)
        networks["borders kept"] = shortcut(other, with_network(loaded, other), children, few)
    figures |= {"audits": len(few), "shortcut": shortcut_table(networks)}
    tables = {
        "bars": bars(figures),
        "faithfulness": map_rows(measured, faithful),
        "baselines": baseline_rows(measured),
    }
    write_card(load_package(PACKAGE), measured, in_words(figures, 3) | tables)


if __name__ == "__main__":
    main()
