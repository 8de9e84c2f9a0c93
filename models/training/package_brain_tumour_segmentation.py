"""Make the package ``models/brain_tumour_segmentation`` out of trained weights; measure its card.

    python models/training/package_brain_tumour_segmentation.py DATA RUN/weights.pt
        [--other GBM] [--images 24] [--card-only]

DATA is the folder of ``brain_tumour_mri.py``, GBM one of another hospital with ``labels.csv``,
``images/`` and ``masks/``. Exports the network, fits the temperature, writes ``model.toml``,
``background.npz``, ``samples/`` and ``expected.json``, then runs the product itself (decoding
apart) over the validation patients and writes every figure of ``CARD.md``. With ``--card-only``
the weights stay and only manifest and card are measured again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from rich.progress import track

from brain_tumour_mri import PREPROCESSING, rows_of
from brain_tumour_segmentation import new_network
from dicom_samples import write_samples
from lightbox.domain.frame import Frame
from lightbox.domain.prediction import FrameRef
from lightbox.infer.packages import LoadedPackage, digest
from lightbox.infer.packages import load as load_package
from lightbox.infer.predict import outlined_in
from lightbox.infer.preprocess import geometry_for, model_input
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import Settings
from lightbox.tools.map_measures import Onboarding, Sample
from lightbox.tools.model_check import write_expected, write_measured
from map_figures import NAMES, SPACING_MM, exported, int8_line, onboarding, spread
from measures import (
    boundary_distance,
    calibration_error,
    cross_fitted,
    dice,
    fitted_temperature,
    softmax,
)
from package_brain_tumour_mri import background_of
from unet import LesionUNet

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "brain_tumour_segmentation"
FOUND = 0.5
"""Dice from which an outline counts as that of the lesion: what the confidence is calibrated to."""

LEAST_DICE = 0.84
"""The bar: median Dice of the validation patients' images. The card says whether it is reached."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """What the product drew on one image.

    Attributes
    ----------
    logits : array, shape (2,)
        Score of the outline and of its absence.
    dice : float
        Against the published mask; 1 where neither shows anything.
    boundary_mm : float
        95 % Hausdorff distance; NaN where nothing was drawn, or nothing is there.
    drawn, there : int
        Pixels of the outline, and of the mask.
    """

    row: dict[str, str]
    logits: Array
    dice: float
    boundary_mm: float
    drawn: int
    there: int


def samples_of(data: Path, rows: Sequence[dict[str, str]]) -> list[Sample]:
    """Read images and masks as the product would decode them."""
    found = []
    for row in rows:
        picture = np.asarray(Image.open(data / row["file"]).convert("L"))
        tensor = model_input(PREPROCESSING, picture.astype(np.float32))
        geometry = geometry_for(PREPROCESSING, picture.shape)
        frame = Frame(FrameRef(row["file"]), tensor, picture, geometry, (SPACING_MM, SPACING_MM))
        found.append(Sample(frame, np.asarray(Image.open(data / row["mask"]).convert("L")) > 0))
    return found


def cases(
    loaded: LoadedPackage, samples: Sequence[Sample], rows: Sequence[dict[str, str]]
) -> list[Case]:
    """Outline every image and compare in source pixels."""
    runtime, found = OnnxRuntime(loaded), []
    for sample, row in track(list(zip(samples, rows, strict=True)), "outlines"):
        output = runtime.predict(sample.frame.tensor)
        assert output.outline is not None
        assert sample.mask is not None
        plane = outlined_in(sample.frame, output.outline[0])
        drawn = np.zeros_like(sample.mask) if plane is None else plane.mask
        apart = SPACING_MM * boundary_distance(drawn, sample.mask)
        overlap = float(dice(drawn[None], sample.mask[None])[0])
        sizes = int(drawn.sum()), int(sample.mask.sum())
        found.append(Case(row, output.logits[0].astype(np.float64), overlap, apart, *sizes))
    return found


def overlap_line(name: str, found: Sequence[Case]) -> str:
    """Return one row of the table of overlaps."""
    values = np.array([case.dice for case in found])
    apart = np.array([case.boundary_mm for case in found])
    area = np.array([case.drawn / case.there - 1 for case in found if case.drawn])
    return (
        f"| {name} | {len(found)} | {np.median(values):.3f} | {values.mean():.3f} "
        f"| {(values >= FOUND).mean():.3f} | {(values == 0).mean():.3f} "
        f"| {np.nanmedian(apart):.1f} | {100 * np.median(np.abs(area)):.0f} % |"
    )


def overlap_lines(found: Sequence[Case]) -> list[str]:
    """Return the table: all, by kind of tumour, by plane, by size."""
    lines = [overlap_line("**all**", found)]
    for key in ("label", "plane"):
        parts = {value: [c for c in found if c.row[key] == value] for value in _values(found, key)}
        lines += [overlap_line(value, part) for value, part in parts.items()]
    small, large = np.quantile([case.there for case in found], [1 / 3, 2 / 3])
    thirds: dict[str, Callable[[int], bool]] = {
        f"smallest third (under {small * SPACING_MM**2:.0f} mm²)": lambda n: n < small,
        "middle third": lambda n: small <= n < large,
        f"largest third (from {large * SPACING_MM**2:.0f} mm²)": lambda n: n >= large,
    }
    return lines + [
        overlap_line(name, [case for case in found if inside(case.there)])
        for name, inside in thirds.items()
    ]


def _values(found: Sequence[Case], key: str) -> list[str]:
    return sorted({case.row[key] for case in found})


def figures_of(found: Sequence[Case]) -> dict[str, Any]:
    """Return the scalars of card and manifest."""
    values = np.array([case.dice for case in found])
    groups = tuple(case.row["group"] for case in found)
    logits = np.stack([case.logits for case in found])
    wrong = (values < FOUND).astype(np.int64)  # class 0 says that the outline is the lesion's
    by_patient = [values[[g == group for g in groups]].mean() for group in sorted(set(groups))]
    return {
        "images": len(found),
        "patients": len(set(groups)),
        "dice_median": float(np.median(values)),
        "dice_mean": float(values.mean()),
        "dice_patient": float(np.median(by_patient)),
        "missed": float((values == 0).mean()),
        "found": float((values >= FOUND).mean()),
        "nothing": float(np.mean([case.drawn == 0 for case in found])),
        "temperature": fitted_temperature(logits, wrong),
        "ece_before": calibration_error(softmax(logits, 1.0), wrong),
        "ece": calibration_error(cross_fitted(logits, wrong, groups), wrong),
    }


def other_hospital(loaded: LoadedPackage, data: Path) -> str:
    """Return the card's paragraph on slices of another hospital, with and without tumour."""
    rows = rows_of(data, "train")  # of that set nothing was learned from
    found = cases(loaded, samples_of(data, rows), rows)
    with_tumour = [case for case in found if case.there]
    without = [case for case in found if not case.there]
    values = np.array([case.dice for case in with_tumour])
    return (
        f"{len(with_tumour)} slices with tumour of {len({c.row['group'] for c in found})} patients:"
        f" median Dice **{np.median(values):.3f}**, mean {values.mean():.3f}, Dice 0 in "
        f"{100 * (values == 0).mean():.0f} %. {len(without)} slices of the same patients without "
        f"tumour: something is outlined in **{100 * np.mean([c.drawn > 0 for c in without]):.0f} "
        "%**."
    )


def layer_before_gate(file: Path) -> str:
    """Return the name of the tensor that the gate reads: the deepest features at stride 8."""
    graph = onnx.load(file).graph
    (reader,) = (node for node in graph.node if "gate.weight" in node.input)
    return str(reader.input[0])


def write_manifest(target: Path, filled: dict[str, str], figures: dict[str, Any]) -> None:
    """Fill ``model.toml`` from its template."""
    numbers = {
        key: f"{value:.2f}" if key == "temperature" else f"{value:.4f}"
        for key, value in figures.items()
    }
    text = Template((HERE / "brain_tumour_segmentation.toml").read_text())
    target.write_text(text.substitute(**filled, **numbers))


def card(
    loaded: LoadedPackage,
    figures: dict[str, Any],
    overlaps: Sequence[str],
    other: str,
    measured: Onboarding,
    int8: str,
) -> str:
    """Fill ``CARD.md`` from its template."""
    faithful = [
        f"| {NAMES.get(each.method, each.method)} | {each.pointing_game:.2f} | {each.mass:.3f} "
        f"| {each.insertion:+.3f} | {each.deletion:+.3f} "
        f"| {' / '.join(f'{stage:.2f}' for stage in measured.randomisation[each.method])} "
        f"| {each.merit:.3f} | {'unfit' if each.unfit else 'fit'} |"
        for each in sorted(measured.maps, key=lambda each: -each.merit)
    ]
    left = sorted(measured.baselines.items(), key=lambda item: item[1])
    text = Template((HERE / "brain_tumour_segmentation_card.md").read_text())
    return text.substitute(
        {k: f"{v:.3f}" if isinstance(v, float) else str(v) for k, v in figures.items()}
        | {"temperature": f"{loaded.package.calibration.temperature:.2f}"},
        spacing=f"{SPACING_MM:g}",
        bar=f"{LEAST_DICE:.2f} {'is' if figures['dice_median'] >= LEAST_DICE else '**is not**'}",
        overlaps="\n".join(overlaps),
        other=other,
        int8=int8,
        measured_images=measured.maps[0].images,
        default=NAMES[loaded.package.explanation.method],
        faithfulness="\n".join(faithful),
        baselines="\n".join(f"| {kind} | {share:.2f} |" for kind, share in left),
        version=loaded.package.version,
        sha256=loaded.package.sha256,
        megabytes=f"{len(loaded.weights) / 1e6:.1f}",
    )


def network_of(weights: Path) -> LesionUNet:
    """Load a trained network."""
    net = new_network()
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    return net


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--other", type=Path, help="slices of another hospital")
    parser.add_argument("--images", type=int, default=24, help="for deletion and randomisation")
    parser.add_argument("--card-only", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run all of it."""
    given = arguments()
    PACKAGE.mkdir(exist_ok=True)
    onnx_file, background = PACKAGE / "weights.onnx", PACKAGE / "background.npz"
    if not given.card_only:
        exported(network_of(given.weights), PREPROCESSING.size, onnx_file)
        background.write_bytes(background_of(given.data))
    filled = {
        "sha256": digest(onnx_file.read_bytes()),
        "background_sha256": digest(background.read_bytes()),
        "target_layer": layer_before_gate(onnx_file),
    }
    nothing_known = dict.fromkeys(("dice_median", "dice_mean", "missed", "ece"), 0.0)
    write_manifest(PACKAGE / "model.toml", filled, {**nothing_known, "temperature": 1.0})
    rows = rows_of(given.data, "val")
    samples = samples_of(given.data, rows)
    found = cases(load_package(PACKAGE), samples, rows)
    figures = figures_of(found)
    write_manifest(PACKAGE / "model.toml", filled, figures)
    if not given.card_only:
        write_samples(given.data, PACKAGE / "samples")
        write_expected(PACKAGE, Settings())
    loaded = load_package(PACKAGE)
    few = spread(samples, [row["group"] for row in rows], given.images)
    measured = onboarding(loaded, few)
    write_measured(PACKAGE, measured)
    loaded = load_package(PACKAGE)
    other = "Not measured." if given.other is None else other_hospital(loaded, given.other)
    tensors = np.concatenate([each.frame.tensor for each in samples])
    eight_bits = int8_line(loaded, tensors)
    text = card(loaded, figures, overlap_lines(found), other, measured, eight_bits)
    (PACKAGE / "CARD.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
