"""Get a card's figures again from the outside: ``lightbox explain`` over validation files.

    python models/training/shown_by.py DATA [--model brain_tumour_mri] [--images 40]

Writes the validation images of DATA as DICOM files (of the brain half with 8, half with 12 bits,
half with window values), asks ``lightbox explain`` about every one, and holds what it answers against what
the model's ``CARD.md`` says. Exit 1 if a figure differs by more than half a point. Files that the
model refuses (outside of its range) are counted and left out.
``--images`` takes only so many, spread over all of them: a figure then differs, and none is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import chest_samples
import dicom_samples
from brain_tumour_mri import rows_of
from lightbox.domain.model_package import ModelPackage
from lightbox.infer.packages import load as load_package
from map_figures import NAMES
from measures import calibration_error, confusion, cross_fitted, f2, kappa
from package_brain_tumour_segmentation import FOUND

MODELS = Path(__file__).parents[1]
TOLERANCE = 0.005
WRITERS = {"chest_xray_pneumonia": chest_samples.write_rows}
"""Who writes a model's images as DICOM files; else as MR."""


def answers_of(model: str, folder: Path) -> list[dict[str, Any]]:
    """Ask the product about every file of a folder."""
    told = folder / "answers.json"
    masks = ("--mask", str(folder)) if any(folder.glob("*.mask.png")) else ()
    asked = ["explain", str(folder), "--model", model, *masks, "--json", str(told)]
    done = subprocess.run(  # noqa: S603  # our own command on files that we wrote
        [sys.executable, "-m", "lightbox", *asked],
        env={**os.environ, "LIGHTBOX__MODELS__PATH": str(MODELS)},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode not in {0, 1}:  # 1: it refused some
        sys.exit(done.returncode)
    found: list[dict[str, Any]] = json.loads(told.read_text())
    return found


def outlined(answers: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Return what a segmentation model's answers come to, by the row of the card."""
    values = np.array([answer["outline"]["dice"] for answer in answers])
    shares = float((values >= FOUND).mean()), float((values == 0).mean())
    return {"all": [float(np.median(values)), float(values.mean()), *shares]}


def classified(
    package: ModelPackage, answers: Sequence[dict[str, Any]], rows: Sequence[dict[str, str]]
) -> dict[str, list[float]]:
    """Return what a classifier's answers come to, by the row of the card that says the same."""
    names = [finding.name for finding in package.findings]
    words = (row["label"].partition("_")[0] for row in rows)
    labels = np.array([[name.startswith(word) for name in names].index(True) for word in words])
    scores = np.array([[answer["scores"][name] for name in names] for answer in answers])
    # Logits up to a constant of each image, which no figure depends on.
    logits = np.log(np.maximum(scores, 1e-12)) * package.calibration.temperature
    table = confusion(scores.argmax(1), labels)
    balanced = cross_fitted(logits, labels, [row["group"] for row in rows])
    found = {
        "balanced accuracy": [float((np.diag(table) / table.sum(1)).mean())],
        "accuracy, Cohen's kappa, F2 (macro)": [
            float(np.trace(table) / table.sum()),
            kappa(table),
            f2(table),
        ],
        "expected calibration error, temperature fitted on the other half of the patients": [
            calibration_error(balanced, labels)
        ],
    }
    where = [answer.get("plausibility", {}) for answer in answers]
    for row, measure in (("hit", "pointing_game"), ("mass", "mass")):
        if all(measure in each for each in where):  # images have masks
            found[f"{NAMES[package.explanation.method]}: {row}"] = [mean_of(where, measure)]
    return found


def mean_of(found: Sequence[dict[str, float]], name: str) -> float:
    """Return the mean of one measure of the maps."""
    return float(np.mean([each[name] for each in found]))


def stated(card: str, row: str) -> list[float]:
    """Return the numbers of the card's row with this name; "NAME: COLUMN" is one cell of a table."""
    name, _, column = row.partition(": ")
    (line,) = [
        line for line in card.splitlines() if line.replace("*", "").startswith(f"| {name} |")
    ][:1]
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", line.removeprefix(name))]
    if not column:
        return numbers
    return [numbers[("hit", "near", "mass").index(column)]]


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="brain_tumour_mri")
    parser.add_argument("--images", type=int, default=0, help="only so many; else all")
    given = parser.parse_args()
    rows = rows_of(given.data, "val")
    chosen = np.linspace(0, len(rows) - 1, given.images or len(rows)).astype(int)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write = WRITERS.get(given.model, dicom_samples.write_rows)
        of = dict(write(given.data, [rows[i] for i in chosen], folder))
        every = answers_of(given.model, folder)
    answers = [answer for answer in every if not answer["refused"]]
    package = load_package(MODELS / given.model).package
    if package.task == "segmentation":
        found = outlined(answers)
    else:
        found = classified(package, answers, [of[Path(each["file"]).name] for each in answers])
    card, wrong = (MODELS / given.model / "CARD.md").read_text(), 0
    print(f"{len(every)} of {len(rows)} validation files; card | now")
    print(f"refused, and in no figure of now: {len(every) - len(answers)}")
    for row, values in found.items():
        says = stated(card, row)[: len(values)]
        wrong += any(abs(a - b) > TOLERANCE for a, b in zip(says, values, strict=True))
        told = [" ".join(f"{value:.3f}" for value in each) for each in (says, values)]
        print(f"{row}: {told[0]} | {told[1]}")
    return int(wrong > 0 and not given.images)


if __name__ == "__main__":
    sys.exit(main())
