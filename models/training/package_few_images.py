"""Make a demonstration package out of weights that few images taught; measure its card.

    python models/training/package_few_images.py TASK DATA RUN [--images 24]

TASK, DATA and RUN are those of ``few_images.py``. Figures are of validation images; where there are
none, of each image by a network that was taught without its patient.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from border import border_alone
from brain_tumour_mri import Images, rows_of
from few_images import FOLDS, TASKS, Task, folds_of, logits_of, network_of, read
from few_images_samples import write_samples
from lightbox.domain.model_package import Measured
from lightbox.infer.packages import digest
from lightbox.infer.packages import load as load_package
from lightbox.settings import Settings
from lightbox.tools.map_measures import Sample
from lightbox.tools.model_check import write_expected, write_measured
from map_figures import exported, onboarding, spread
from measures import (
    calibration_error,
    confusion,
    fitted_temperature,
    kappa,
    softmax,
    wilson_interval,
)
from package_files import as_sample, baseline_rows, in_words, map_rows, write_card, write_manifest

HERE = Path(__file__).parent
EACH = 2  # samples of a class

Array = np.ndarray[Any, Any]
Row = dict[str, str]


@dataclass(frozen=True)
class Judged:
    """Images that a network did not learn from, and what it says of them.

    Attributes
    ----------
    logits, of_border : array, shape (n, classes)
        Of the image, and of its border alone.
    """

    images: Images
    logits: Array
    of_border: Array


def judged(task: Task, data: Path, run: Path) -> Judged:
    """Ask about images that the network asked did not learn from."""
    rows = rows_of(data, "val")
    if rows:
        return _judged(task, data, rows, run / "weights.pt")
    rows = rows_of(data, "train")
    folds = folds_of(rows)
    parts = []
    for fold in range(FOLDS):
        own = [row for row, of in zip(rows, folds, strict=True) if of == fold]
        parts.append(_judged(task, data, own, run / f"fold_{fold}" / "weights.pt"))
    images = [part.images for part in parts]
    return Judged(
        Images(
            torch.cat([each.images for each in images]),
            torch.cat([each.masks for each in images]),
            torch.cat([each.labels for each in images]),
            tuple(group for each in images for group in each.groups),
            tuple(file for each in images for file in each.files),
        ),
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.of_border for part in parts]),
    )


def _judged(task: Task, data: Path, rows: Sequence[Row], weights: Path) -> Judged:
    images, net = read(task, data, rows), network_of(task, weights)
    each = [
        logits_of(net, tensor).numpy().astype(np.float64)
        for tensor in (images.images, border_alone(images.images))
    ]
    return Judged(images, *each)


def figures_of(task: Task, found: Judged) -> dict[str, Any]:
    """Return what card and manifest say of the answers."""
    labels = found.images.labels.numpy()
    table = confusion(found.logits.argmax(1), labels)
    recall = np.diag(table) / table.sum(1)
    alone = confusion(found.of_border.argmax(1), labels)
    temperature = round(fitted_temperature(found.logits, labels), 2)
    low, high = wilson_interval(int(np.trace(table)), len(labels))
    rows = [
        f"| **{name}** | " + " | ".join(str(int(n)) for n in row) + f" | {share:.2f} |"
        for name, row, share in zip(task.classes, table, recall, strict=True)
    ]
    return {
        "images": len(labels),
        "right": int(np.trace(table)),
        "low": f"{100 * low:.0f}",
        "high": f"{100 * high:.0f}",
        "verdict": ": no better than a guess" if low < 1 / len(task.classes) else "",
        "balanced_accuracy": float(recall.mean()),
        "guess": 1 / len(task.classes),
        "alone": float((np.diag(alone) / alone.sum(1)).mean()),
        "kappa": kappa(table),
        "temperature": temperature,
        "ece_before": calibration_error(softmax(found.logits, 1.0), labels),
        "ece": calibration_error(softmax(found.logits, temperature), labels),
        "table": "\n".join(rows),
        "columns": " | ".join(task.classes),
        "rule": "|---" * (len(task.classes) + 2) + "|",
    }


def samples_of(task: Task, data: Path, images: Images, rows: Sequence[Row]) -> list[Sample]:
    """Return the images as the product would decode them, with their masks in source pixels."""
    masks = {row["file"]: row.get("mask") for row in rows if row["label"] != "normal"}
    found = []
    for tensor, file in zip(images.images, images.files, strict=True):
        drawn = masks.get(file)
        mask = np.asarray(Image.open(data / drawn).convert("L")) > 0 if drawn else None
        input_ = tensor.numpy()[None]
        found.append(as_sample(data / file, file, input_, task.preprocessing, mask=mask))
    return found


def chosen_samples(name: str, task: Task, rows: Sequence[Row]) -> list[list[Row]]:
    """Pick images of each class, one of a patient; of OCT a pair of one patient, too."""
    chosen: list[list[Row]] = []
    for label in task.classes:
        firsts: dict[str, Row] = {}
        for row in rows:
            if row["label"] == label:
                firsts.setdefault(row["group"], row)
        chosen += [[firsts[group]] for group in sorted(firsts)[-EACH:]]
    if name == "retinal_oct":
        pairs: dict[tuple[str, str, str], list[Row]] = {}
        for row in rows:
            pairs.setdefault((row["group"], row["width"], row["height"]), []).append(row)
        chosen.append(next(pair for pair in pairs.values() if len(pair) > 1))
    return chosen


def measured_cells(each: Measured, stages: str) -> list[str]:
    """Return what the card says of one map."""
    overlap = ["-" if n is None else f"{n:.2f}" for n in (each.pointing_game, each.mass)]
    return [*overlap, f"{each.insertion:+.3f}", f"{each.deletion:+.3f}", stages]


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=24, help="for deletion and randomisation")
    given = parser.parse_args()
    task, package = TASKS[given.task], HERE.parent / given.task
    package.mkdir(exist_ok=True)
    net = network_of(task, given.run / "weights.pt")
    exported(net, task.preprocessing.size, package / "weights.onnx")
    found = judged(task, given.data, given.run)
    figures = figures_of(task, found)
    sha256 = digest((package / "weights.onnx").read_bytes())
    write_manifest(package, {**in_words(figures, 4), "sha256": sha256})
    rows = rows_of(given.data, "val") or rows_of(given.data, "train")
    write_samples(
        given.task,
        given.data,
        chosen_samples(given.task, task, rows),
        package / "samples",
    )
    samples = samples_of(task, given.data, found.images, rows)
    few = spread(samples, found.images.groups, given.images)
    measured = onboarding(load_package(package), few)
    write_measured(package, measured)
    write_expected(package, Settings())
    loaded = load_package(package)
    tables = {
        "faithfulness": map_rows(measured, measured_cells),
        "baselines": baseline_rows(measured),
        "not_shown": loaded.package.explanation.not_shown or "its maps are sent",
    }
    print(write_card(loaded, measured, in_words(figures, 2) | tables))


if __name__ == "__main__":
    main()
