"""Promise: the samples of our packages are what they say: valid objects, with their licence beside them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from site_of_tests import MODELS

PACKAGES = sorted(folder.parent for folder in MODELS.glob("*/samples"))

CONTRADICTORY = {
    "</ConcatenationFrameOffsetNumber(0020,9228)>",
    "</InConcatenationNumber(0020,9162)>",
    "</InConcatenationTotalNumber(0020,9163)>",
}
"""Of ophthalmic tomography dciodvfy demands these where they are absent (PS3.3 C.8.17.7) and forbids
them where they are there (C.7.6.16), so no object of one part has none of these three errors."""


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("package", PACKAGES, ids=lambda folder: folder.name)
def test_samples_are_valid_and_small(package: Path) -> None:
    files = sorted((package / "samples").glob("*.dcm"))
    assert files
    for file in files:
        said = subprocess.run(
            ["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False, timeout=60
        ).stderr.splitlines()
        errors = {line.split()[2] for line in said if line.startswith("Error")}
        allowed = CONTRADICTORY if said[0] == "OphthalmicTomographyImage" else set()
        assert errors == allowed, (file.name, said)
        assert file.stat().st_size < 1_000_000


@pytest.mark.parametrize("package", PACKAGES, ids=lambda folder: folder.name)
def test_where_samples_are_from_stands_beside_them(package: Path) -> None:
    said = (package / "samples" / "ATTRIBUTION.md").read_text()
    assert "licence" in said
    assert "doi:" in said
