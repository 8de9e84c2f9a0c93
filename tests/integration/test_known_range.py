"""Shipped models answer nothing but their own anatomy, also where every other rule lets all through."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from lightbox.cli.main import run
from site_of_tests import MODELS

BRAIN, CHEST = "brain_tumour_mri", "chest_xray_pneumonia"
DICOM = Path(__file__).parents[2] / "../shared/data/dicom"
"""Other people's DICOM files, beside the repository; absent elsewhere."""

OTHERS = ("CR", "DX", "MG", "US", "XA", "NM", "OP_VL")
"""Folders of which no image shows a brain."""

A_CHEST = {"RG1_JLSN.dcm"}
"""The only one that shows a human chest from the front: of an adult, whom another rule refuses."""

CLAIMED = [*OTHERS, "RG", "OT", "OP", "XC", "GM", "OPT", "ES", "MR", "CT", "RF", "PX"]
"""Modalities that are let through."""

pytestmark = pytest.mark.skipif(not DICOM.is_dir(), reason=f"{DICOM} is not there")


@pytest.fixture(params=[BRAIN, CHEST])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """The model with its applicability rules switched off; only its range is left."""
    folder = tmp_path / "models" / name
    shutil.copytree(MODELS / name, folder)
    manifest = folder / "model.toml"
    start, _, rest = manifest.read_text().partition("[accepts]\n")
    _, _, rest = rest.partition("\n\n")
    accepts = f"modality = {json.dumps(CLAIMED)}\nmin_rows = 1\nsamples_per_pixel = [1, 3]\n"
    manifest.write_text(f"{start}[accepts]\n{accepts}\n{rest}")
    file = tmp_path / "lightbox.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[models]\npath = "{tmp_path}/models"\n')
    monkeypatch.setenv("LIGHTBOX_CONFIG", str(file))
    return tmp_path


def answers(config: Path, name: str, files: list[Path]) -> list[dict[str, object]]:
    told = config / "answers.json"
    run(["explain", *map(str, files), "--model", name, "--json", str(told)])
    found: list[dict[str, object]] = json.loads(told.read_text())
    return found


@pytest.mark.slow
def test_no_other_image_gets_an_answer_whatever_it_claims_to_be(config: Path, name: str) -> None:
    kinds = OTHERS if name == BRAIN else (*OTHERS, "MR", "CT")
    files = [file for kind in kinds for file in sorted((DICOM / kind).rglob("*.dcm"))]

    found = answers(config, name, files)

    assert len(found) == len(files)
    answered = {Path(str(a["file"])).name: a["confidence"] for a in found if not a["refused"]}
    assert set(answered) == (set() if name == BRAIN else A_CHEST)
    of_range = [a for a in found if re.search("outside of the model's range", str(a["refused"]))]
    assert len(of_range) > len(found) / 2


def test_its_own_samples_all_get_one(config: Path, name: str) -> None:
    files = sorted((config / "models" / name / "samples").glob("*.dcm"))
    assert [a["refused"] for a in answers(config, name, files)] == [None] * len(files)
