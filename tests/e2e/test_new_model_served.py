"""The last step of ``models/README.md``: a network that was never seen is served, and explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import torch

from lightbox.domain.result import ResultKind
from lightbox.tools.archive import Archive
from networks import ResNet, exported
from site_of_tests import MODELS, SAMPLES, Site, answered

pytestmark = pytest.mark.slow

OWN = """
[audit]
modalities = []
sample = 0
below_confidence = 0
[models.unseen]
audit_below = 0
thresholds = { class_0 = 0.999, class_1 = 0.999, class_2 = 0.999 }
"""


def begun(folder: Path) -> None:
    """Begin a package with the command, and say what only people know."""
    torch.manual_seed(1)
    onnx = folder / "network.onnx"
    onnx.write_bytes(exported(ResNet(), (3, 64, 64)))
    package = folder / "models" / "unseen"
    subprocess.run(
        [sys.executable, "-m", "lightbox", "models", "new", str(package), "--onnx", str(onnx)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    manifest = package / "model.toml"
    text = manifest.read_text().replace('modality = ["FILL IN"]', 'modality = ["MR"]')
    text = text.replace('body_part_missing = "refuse"', 'body_part_missing = "accept"')
    text = text.replace('value = "FILL IN"', 'value = "64572001"')
    manifest.write_text(text.replace("FILL IN", "Of these tests"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    begun(tmp_path)
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, OWN)
        text = site.config.read_text().replace(str(MODELS), str(tmp_path / "models"))
        site.config.write_text(text.replace('["brain_tumour_mri"]', '["unseen"]'))
        site.start()
        yield site
        site.service.stop()


def test_a_network_that_was_never_seen_is_served_with_the_sites_threshold(site: Site) -> None:
    assert site.send(SAMPLES[0]).returncode == 0
    (study,) = site.until(answered(1)).studies()
    picture = next(r.result for r in study.results if r.result.kind is ResultKind.SECONDARY_CAPTURE)
    shown = pydicom.dcmread(site.data / picture.path)
    assert shown.ManufacturerModelName == "unseen"
    assert "No finding above its threshold" in shown.ImageComments
    assert "Site threshold > 99 % (the model's: 50 %)" in shown.ImageComments
