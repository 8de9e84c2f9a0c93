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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from rich.progress import track

from border import with_and_without_border
from brain_groups import groups_of
from brain_tumour_mri import PREPROCESSING, rows_of
from brain_tumour_segmentation import new_network
from dicom_samples import write_samples
from lightbox.domain.model_package import Measured
from lightbox.infer.packages import LoadedPackage, digest
from lightbox.infer.packages import load as load_package
from lightbox.infer.predict import outlined_in
from lightbox.infer.preprocess import model_input
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import Settings
from lightbox.tools.map_measures import Sample
from lightbox.tools.model_check import write_expected, write_measured
from map_figures import SPACING_MM, exported, int8_line, onboarding, spread
from measures import (
    boundary_distance,
    calibration_error,
    cross_fitted,
    dice,
    fitted_temperature,
    softmax,
)
from package_brain_tumour_mri import background_of
from package_files import (
    as_sample,
    baseline_rows,
    in_words,
    map_rows,
    with_weights,
    write_card,
    write_manifest,
)
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
        file = data / row["file"]
        pixels = np.asarray(Image.open(file).convert("L")).astype(np.float32)
        mask = np.asarray(Image.open(data / row["mask"]).convert("L")) > 0
        tensor = model_input(PREPROCESSING, pixels)
        sample = as_sample(
            file, row["file"], tensor, PREPROCESSING, mask=mask, spacing_mm=SPACING_MM
        )
        found.append(sample)
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
    areas = np.array([case.there for case in found]) * SPACING_MM**2
    groups = groups_of([case.row for case in found], areas, by=("label", "plane"))
    return [overlap_line("**all**", found)] + [
        overlap_line(name, [case for case, inside in zip(found, of, strict=True) if inside])
        for name, of in groups.items()
    ]


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


def border_lines(loaded: LoadedPackage, samples: Sequence[Sample]) -> str:
    """Return the card's rows: outlines of whole images, without the border, of it alone."""
    runtime = OnnxRuntime(loaded)
    masks = [each.mask for each in samples]
    every = torch.from_numpy(np.concatenate([each.frame.tensor for each in samples]))
    lines = []
    for name, inputs in with_and_without_border(every).items():
        drawn = []
        for sample, tensor in track(list(zip(samples, inputs, strict=True)), name):
            outline = runtime.predict(tensor[None].numpy()).outline
            assert outline is not None
            plane = outlined_in(sample.frame, outline[0])
            drawn.append(np.zeros_like(sample.mask) if plane is None else plane.mask)
        pairs = zip(drawn, masks, strict=True)
        overlap = [dice(one[None], other[None])[0] for one, other in pairs if other is not None]
        nothing = np.mean([not one.any() for one in drawn])
        lines.append(f"| {name} | {np.median(overlap):.3f} | {nothing:.3f} |")
    return "\n".join(lines)


def layer_before_gate(file: Path) -> str:
    """Return the name of the tensor that the gate reads: the deepest features at stride 8."""
    graph = onnx.load(file).graph
    (reader,) = (node for node in graph.node if "gate.weight" in node.input)
    return str(reader.input[0])


def measured_cells(each: Measured, stages: str) -> list[str]:
    """Return what the card says of one map."""
    overlap = [f"{each.pointing_game:.2f}", f"{each.mass:.3f}"]
    faithful = [f"{each.insertion:+.3f}", f"{each.deletion:+.3f}"]
    return [*overlap, *faithful, stages, f"{each.merit:.3f}"]


def network_of(weights: Path) -> LesionUNet:
    """Load a trained network."""
    return with_weights(new_network(), weights)


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
    write_manifest(PACKAGE, filled | in_words({**nothing_known, "temperature": 1.0}, 4))
    rows = rows_of(given.data, "val")
    samples = samples_of(given.data, rows)
    found = cases(load_package(PACKAGE), samples, rows)
    figures = figures_of(found)
    write_manifest(PACKAGE, filled | in_words(figures, 4))
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
    reached = figures["dice_median"] >= LEAST_DICE
    tables = {
        "temperature": f"{loaded.package.calibration.temperature:.2f}",
        "spacing": f"{SPACING_MM:g}",
        "bar": f"{LEAST_DICE:.2f} {'is' if reached else '**is not**'}",
        "overlaps": "\n".join(overlap_lines(found)),
        "border": border_lines(loaded, samples),
        "other": other,
        "int8": int8_line(loaded, tensors),
        "faithfulness": map_rows(measured, measured_cells),
        "baselines": baseline_rows(measured),
    }
    print(write_card(loaded, measured, in_words(figures, 3) | tables))


if __name__ == "__main__":
    main()
