"""What a segmentation model outlined in a series is computed again, and is the same objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from lightbox.domain.identity import derived_uid
from lightbox.domain.result import ResultKind
from lightbox.tools.archive import Archive
from site_of_tests import MODELS, Site, answered

pytestmark = pytest.mark.slow

NAME = "brain_tumour_segmentation"
STUDY, SERIES = generate_uid(), generate_uid()
AXIAL = sorted((MODELS / NAME / "samples").glob("*axial*.dcm"))


def a_slice(folder: Path, number: int) -> Path:
    """Write a slice of one series: samples in turn, 5 mm apart."""
    image = pydicom.dcmread(AXIAL[number % len(AXIAL)])
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, SERIES
    image.SOPInstanceUID = derived_uid("replayed lesions", SERIES, str(number))
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.InstanceNumber = number
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, 5 * number]
    path = folder / f"{number}.dcm"
    image.save_as(path)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("lesions")
    with Archive(folder / "archive") as archive:
        site = Site(folder, archive, "[audit]\nmodalities = []\nsample = 0\nbelow_confidence = 0\n")
        written = site.config.read_text()
        site.config.write_text(written.replace('["brain_tumour_mri"]', f'["{NAME}"]'))
        site.start()
        assert site.send(*(a_slice(folder, number) for number in range(1, 5))).returncode == 0
        site.until(answered(1), 240)
        yield site
        site.service.stop()


def test_each_object_of_the_series_is_identical_its_lesions_too(site: Site) -> None:
    (study,) = site.studies()
    made = {each.result.kind: each.result for each in study.results}
    assert {ResultKind.LESION, ResultKind.STRUCTURED_REPORT} <= set(made)
    lesions = pydicom.dcmread(site.data / made[ResultKind.LESION].path)
    assert lesions.NumberOfFrames > 1
    for kind in (ResultKind.LESION, ResultKind.STRUCTURED_REPORT, ResultKind.SECONDARY_CAPTURE):
        done = site.lightbox("replay", made[kind].sop_instance_uid, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        answer = json.loads(done.stdout)
        assert answer["identical"], kind
        assert answer["object"]["stored"] == "as recorded"
