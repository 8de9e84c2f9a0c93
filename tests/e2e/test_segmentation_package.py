"""The shipped segmentation package: it is what it says, and its result is the lesion's outline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from site_of_tests import MODELS

NAME = "brain_tumour_segmentation"
SAMPLES = MODELS / NAME / "samples"


def lightbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lightbox", *arguments],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "LIGHTBOX__MODELS__PATH": str(MODELS)},
    )  # fmt: skip


def test_it_passes_its_own_check() -> None:
    done = lightbox("models", "check", str(MODELS / NAME))
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_outlines_are_the_lesions_and_go_out_as_segments(tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    done = lightbox(
        "explain", *map(str, sorted(SAMPLES.glob("*.dcm"))[::3]), "--model", NAME,
        "--mask", str(SAMPLES),
        "--out", str(tmp_path / "out"), "--json", str(answer),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(answer.read_text())
    assert np.median([each["outline"]["dice"] for each in answers]) > 0.7
    for each in answers:
        if each["finding"] != "brain_tumour":
            assert each["outline"]["share"] == 0
            continue
        segmentation = pydicom.dcmread(each["files"]["lesion"])
        assert segmentation.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == (
            "Neoplasm"
        )
        stem = Path(each["file"]).stem
        mask = np.asarray(Image.open(SAMPLES / f"{stem}.mask.png")) > 0
        drawn = segmentation.pixel_array.reshape(-1, *mask.shape).any(axis=0)
        dice = 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum())
        assert abs(float(dice) - each["outline"]["dice"]) < 1e-6
