"""Make the package ``models/brain_tumour_mri`` out of trained weights, and measure its card.

    python models/training/package_brain_tumour_mri.py DATA RUN/weights.pt
        [--audits 24] [--images 36] [--control CONTROL/weights.pt]
        [--image-split BY_IMAGE/weights.pt] [--card-only]

Exports the network, fits the temperature, writes ``model.toml``, ``background.npz``, ``samples/``
and ``expected.json``, then runs the product itself (decoding apart) over the validation patients
and writes every figure of ``CARD.md``. With ``--card-only`` the weights stay and only manifest and
card are measured again. CONTROL is a run of ``brain_tumour_mri.py --permute``, BY_IMAGE
one of ``--split image``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from border import with_and_without_border
from brain_groups import groups_of
from brain_tumour_mri import (
    CLASSES,
    PREPROCESSING,
    Images,
    balanced_accuracy,
    load,
    probabilities,
    read,
    rows_by_image,
    rows_of,
)
from dicom_samples import write_samples
from lightbox.domain.model_package import Measured
from lightbox.infer.packages import LoadedPackage, digest
from lightbox.infer.packages import load as load_package
from lightbox.infer.preprocess import background_bytes
from lightbox.settings import AuditSettings, Settings
from lightbox.tools.map_measures import Onboarding, Sample
from lightbox.tools.model_check import write_expected, write_measured
from map_figures import (
    SPACING_MM,
    Audited,
    audits,
    by_baseline,
    exported,
    int8_line,
    onboarding,
    overlaps,
    spread,
    untaught,
)
from measures import (
    Localisation,
    calibration_error,
    confusion,
    cross_fitted,
    f2,
    fitted_temperature,
    kappa,
    softmax,
)
from network import GatedResNet
from package_files import as_sample, in_words, map_rows, with_weights, write_card, write_manifest

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "brain_tumour_mri"
BACKGROUNDS = 24
SIDE = 256  # rows and columns of the published images
COMPARED = AuditSettings(tolerance=0.02, max_evaluations=1_500)
"""How baselines are compared: six audits an image are too many to enumerate."""
ALIKE = 0.05
"""Baselines that leave shares of the evidence which differ by less are alike in that."""
FAITHFUL_ALIKE = 0.02
"""So do correlations (sensitivity-n) of some twenty audits that differ by less."""
AUDIT_FIGURES = (
    "v_full", "v_empty", "agreement", "agreement_top", "agreement_occlusion", "agreement_baseline",
    "deletion", "insertion", "deletion_fast_map", "insertion_fast_map", "sensitivity_n",
    "stability", "stability_adversarial",
)  # fmt: skip


def samples_of(data: Path, images: Images) -> list[Sample]:
    """Return each image with its mask in source pixels, as the product would decode it."""
    found = []
    for tensor, file in zip(images.images, images.files, strict=True):
        drawn = data / file.replace("images", "masks").replace(".jpg", ".png")
        mask = np.asarray(Image.open(drawn)) > 0
        input_ = tensor.numpy()[None]
        sample = as_sample(
            data / file, file, input_, PREPROCESSING, mask=mask, spacing_mm=SPACING_MM
        )
        found.append(sample)
    return found


def background_of(data: Path) -> bytes:
    """Return ``background.npz``: training images, one of a patient, spread over all of them."""
    firsts = {row["group"]: row for row in reversed(rows_of(data, "train"))}
    names = sorted(firsts)
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, BACKGROUNDS).astype(int)]
    images = read(data, [firsts[name] for name in chosen])
    unit = images.images[:, 0].numpy() * PREPROCESSING.std[0] + PREPROCESSING.mean[0]
    return background_bytes(unit, images.masks[:, 0].numpy() > 0)


def classified(logits: np.ndarray[Any, Any], images: Images) -> dict[str, object]:
    """Return the figures of the classification table."""
    labels = images.labels.numpy()
    table = confusion(logits.argmax(1), labels)
    recall = np.diag(table) / table.sum(1)
    before = softmax(logits, 1.0)
    return {
        "images": len(labels),
        "patients": len(set(images.groups)),
        "balanced_accuracy": float(recall.mean()),
        "accuracy": float(np.trace(table) / table.sum()),
        "kappa": kappa(table),
        "f2": f2(table),
        "recall": {name: float(r) for name, r in zip(CLASSES, recall, strict=True)},
        "confusion": table.astype(int).tolist(),
        "ece_before": calibration_error(before, labels),
        "ece": calibration_error(cross_fitted(logits, labels, images.groups), labels),
    }


def line(name: str, at: Localisation) -> str:
    """Return one row of the table of places."""
    return (
        f"| {name} | {at.hit:.2f} | {at.near:.2f} | {at.mass:.3f} | {at.times_chance:.1f} "
        f"| {at.distance_mm:.0f} |"
    ).replace("nan", "-")


def chosen_baseline(found: dict[str, Audited]) -> str:
    """Choose what leaves least of the evidence; of those alike, whose values are most faithful.

    Of those that are alike in this, too, the one whose values agree most with the fast map: a
    reader is shown both.
    """
    figures = {kind: each.figures for kind, each in found.items()}
    least = min(each["left"] for each in figures.values())
    able = [kind for kind, each in figures.items() if each["left"] <= least + ALIKE]
    best = max(figures[kind]["sensitivity_n"] for kind in able)
    faithful = [kind for kind in able if figures[kind]["sensitivity_n"] >= best - FAITHFUL_ALIKE]
    return max(faithful, key=lambda kind: figures[kind]["agreement"])


def baseline_line(kind: str, found: Audited) -> str:
    """Return one row of the table of baselines."""
    figures = [
        found.figures.get(name, float("nan"))
        for name in ("left", "deletion", "insertion", "sensitivity_n", "agreement", "agreement_top")
    ]
    cells = " | ".join(f"{figure:.2f}" for figure in figures)
    return f"| {kind} | {cells} | {found.row.times_chance:.1f} |"


@dataclass(frozen=True)
class Found:
    """Everything that the card says."""

    figures: dict[str, Any]
    places: dict[str, Localisation]
    onboarding: Onboarding
    audited: Audited
    baselines: dict[str, Audited]
    untaught: dict[str, float] | None
    epochs_by_rote: int
    by_image: str
    int8: str
    groups: str
    border: str


def card(found: Found, loaded: LoadedPackage, limits: AuditSettings) -> str:
    """Write ``CARD.md`` and return it."""
    figures, measured, audit = found.figures, found.onboarding, found.audited
    places = [line(name, at) for name, at in found.places.items()]
    places.insert(
        1,
        line(
            f"{figures['regions']} regions: Shapley values, {audit.figures['audits']} images",
            audit.row,
        ),
    )
    places.insert(1, line(f"the fast map, the same {audit.figures['audits']} images", audit.fast))

    def faithful(each: Measured, stages: str) -> list[str]:
        rote = "not measured" if found.untaught is None else f"{found.untaught[each.method]:.2f}"
        signs = [f"{each.insertion:+.3f}", f"{each.deletion:+.3f}"]
        return [*signs, stages, rote, f"{each.merit:.3f}"]

    recalls = [f"| {name} | {value:.3f} |" for name, value in figures["recall"].items()]
    table = [
        f"| **{name}** | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(CLASSES, figures["confusion"], strict=True)
    ]
    by_left = sorted(found.baselines.items(), key=lambda item: item[1].figures["left"])
    audits = {
        f"audit_{name}": f"{audit.figures.get(name, float('nan')):.2f}".replace("nan", "-")
        for name in AUDIT_FIGURES
    }
    audits["audit_audits"] = str(int(audit.figures["audits"]))
    audits["audit_evaluations"] = f"{audit.figures['evaluations']:.0f}"
    tables = {
        "audit_tolerance": f"{100 * limits.tolerance:g}",
        "audit_most": str(limits.max_evaluations),
        "epochs_by_rote": str(found.epochs_by_rote),
        "localisation": "\n".join(places),
        "faithfulness": map_rows(measured, faithful),
        "recalls": "\n".join(recalls),
        "table": "\n".join(table),
        "by_image": found.by_image,
        "int8": found.int8,
        "groups": found.groups,
        "border": found.border,
        "baselines": "\n".join(baseline_line(kind, each) for kind, each in by_left),
        "baseline": loaded.package.explanation.baseline,
        "second_baseline": loaded.package.explanation.second_baseline,
    }
    return write_card(loaded, measured, in_words(figures, 3) | audits | tables)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, default=36, help="for deletion and randomisation")
    parser.add_argument("--audits", type=int, default=24)
    parser.add_argument("--tolerance", type=float, default=0.01, help="of the audits")
    parser.add_argument("--most", type=int, default=20_000, help="evaluations of an audit")
    parser.add_argument("--control", type=Path, help="weights of a run with --permute")
    parser.add_argument("--image-split", type=Path, help="weights of a run with --split image")
    parser.add_argument("--card-only", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run all of it."""
    given = arguments()
    images = load(given.data, "val")
    PACKAGE.mkdir(exist_ok=True)
    onnx, background = PACKAGE / "weights.onnx", PACKAGE / "background.npz"
    net = network_of(given.weights)
    if not given.card_only:
        exported(net, PREPROCESSING.size, onnx)
    if not background.is_file() or not given.card_only:
        background.write_bytes(background_of(given.data))
    logits = probabilities(net, images.images).numpy().astype(np.float64)
    temperature = round(fitted_temperature(logits, images.labels.numpy()), 2)
    figures = classified(logits, images)
    filled = in_words({"temperature": temperature, **figures}, 4) | {
        "sha256": digest(onnx.read_bytes()),
        "background_sha256": digest(background.read_bytes()),
        "baseline": "blur",
    }
    write_manifest(PACKAGE, filled)
    samples = samples_of(given.data, images)
    audited = spread(samples, images.groups, given.audits)
    compared = by_baseline(load_package(PACKAGE), audited, COMPARED)
    chosen = chosen_baseline(compared)
    write_manifest(PACKAGE, {**filled, "baseline": chosen})
    loaded = load_package(PACKAGE)
    if not given.card_only:
        write_samples(given.data, PACKAGE / "samples")
        write_expected(PACKAGE, Settings())
    few = spread(samples, images.groups, given.images)
    measured = onboarding(loaded, few)
    write_measured(PACKAGE, measured)
    loaded = load_package(PACKAGE)
    rows, columns = loaded.package.explanation.grid
    figures["regions"] = rows * columns
    limits = AuditSettings(tolerance=given.tolerance, max_evaluations=given.most)
    found = Found(
        figures,
        overlaps(loaded, net, samples),
        measured,
        audits(loaded, audited, limits),
        compared,
        None if given.control is None else taught_by_rote(loaded, given.control, few),
        0 if given.control is None else epochs_of(given.control),
        "not measured"
        if given.image_split is None
        else split_by_image(given.data, given.image_split),
        int8_line(loaded, images.images.numpy()),
        *in_parts(net, images, rows_of(given.data, "val")),
    )
    print(card(found, loaded, limits))


def in_parts(
    net: GatedResNet, images: Images, rows: Sequence[Mapping[str, str]]
) -> tuple[str, str]:
    """Return the rows of planes and sizes, and those of the border."""
    logits = probabilities(net, images.images)
    areas = np.array([float(row["area_fraction"]) for row in rows]) * (SIDE * SPACING_MM) ** 2
    groups = []
    for name, of in groups_of(rows, areas).items():
        right = (logits[of].argmax(1) == images.labels[of]).float().mean()
        balanced = balanced_accuracy(logits[of], images.labels[of])
        groups.append(f"| {name} | {of.sum()} | {right:.3f} | {balanced:.3f} |")
    borders = [
        f"| {name} | {balanced_accuracy(probabilities(net, part), images.labels):.3f} |"
        for name, part in with_and_without_border(images.images).items()
    ]
    return "\n".join(groups), "\n".join(borders)


def network_of(weights: Path) -> GatedResNet:
    """Load a trained network."""
    return with_weights(GatedResNet(len(CLASSES)), weights)


def epochs_of(weights: Path) -> int:
    """Return for how long a network was taught: one line each in its run's log."""
    return len((weights.parent / "log.csv").read_text().splitlines())


def split_by_image(data: Path, weights: Path) -> str:
    """Return a sentence with the figures of a network that was split by image."""
    images = load(data, "val", "image")
    known = {row["group"] for row in rows_by_image(data, "train")}
    logits = probabilities(network_of(weights), images.images).numpy().astype(np.float64)
    figures = classified(logits, images)
    both_sides = sum(group in known for group in images.groups) / len(images.groups)
    return (
        f"balanced accuracy {figures['balanced_accuracy']:.3f}, accuracy {figures['accuracy']:.3f}, "
        f"kappa {figures['kappa']:.3f}, F2 {figures['f2']:.3f} on {figures['images']} images, "
        f"{both_sides:.0%} of them of patients that it learned from, after {epochs_of(weights)} "
        "epochs from scratch"
    )


def taught_by_rote(loaded: LoadedPackage, control: Path, samples: list[Sample]) -> dict[str, float]:
    """Compare the maps with those of the control."""
    with TemporaryDirectory() as folder:
        target = Path(folder) / "control.onnx"
        exported(network_of(control), PREPROCESSING.size, target)
        return untaught(loaded, target.read_bytes(), samples)


if __name__ == "__main__":
    main()
