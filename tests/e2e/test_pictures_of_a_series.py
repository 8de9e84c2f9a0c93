"""A destination that asks for them gets a mosaic and pictures of a series, by the wire, as valid objects.

A real sender, the service as processes, a real archive: what the unit tests say of these pictures
holds of what the archive was sent.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_images import a_series
from lightbox.domain.identity import derived_uid
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, PICTURES, ResultKind
from lightbox.domain.standing import StudyStanding
from lightbox.results.validate import first_errors, validator
from site_of_tests import SAMPLES, Site, a_running_site, answered

pytestmark = pytest.mark.slow

SLICES = 24
GLIOMAS = [file for file in SAMPLES if "glioma_axial" in file.name]
ASKS = """\
kinds = ["sc", "seg", "sr", "mosaic", "slice"]
[audit]
modalities = []
sample = 0
below_confidence = 0
[models.brain_tumour_mri]
audit_below = 0
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site whose archive asks for pictures of further slices; nothing is audited."""
    with a_running_site(tmp_path_factory.mktemp("site"), ASKS) as site:
        yield site


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return a_series(tmp_path_factory.mktemp("sent"), GLIOMAS, SLICES)


@pytest.fixture(scope="module")
def study(site: Site, slices: list[Path]) -> StudyStanding:
    """The study as it stands when all of its results are in the archive."""
    assert site.send(*slices).returncode == 0
    (study,) = site.until(answered(1), 120).studies()
    return study


@pytest.fixture(scope="module")
def held(site: Site, study: StudyStanding) -> list[tuple[ResultKind, Dataset]]:
    """Kind of each result and what the archive has of it."""
    return [
        (each.result.kind, pydicom.dcmread(io.BytesIO(site.archive.file(uid))))
        for each in study.results
        for uid in [each.result.sop_instance_uid]
    ]


def shown(dataset: Dataset) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in dataset.SourceImageSequence]


def test_the_archive_has_the_mosaic_and_a_picture_of_each_slice_in_it(
    held: list[tuple[ResultKind, Dataset]], slices: list[Path]
) -> None:
    of = {kind: [dataset for its, dataset in held if its is kind] for kind in ResultKind}
    (first,) = of[ResultKind.SECONDARY_CAPTURE]
    (mosaic,) = of[ResultKind.MOSAIC]
    further = of[ResultKind.SLICE]
    assert len(further) == 5
    sent = [pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in slices]
    in_mosaic = shown(mosaic)
    assert in_mosaic == sorted(in_mosaic, key=sent.index), "in the order of the patient"
    alone = [uid for each in (first, *further) for uid in shown(each)]
    assert sorted(alone) == sorted(in_mosaic)
    assert {each.SeriesInstanceUID for each in further} == {first.SeriesInstanceUID}
    assert mosaic.SeriesInstanceUID != first.SeriesInstanceUID


def test_each_belongs_to_the_study_of_its_source_and_says_what_it_is(
    held: list[tuple[ResultKind, Dataset]], slices: list[Path]
) -> None:
    source = pydicom.dcmread(slices[0], stop_before_pixels=True)
    for kind, dataset in held:
        assert dataset.StudyInstanceUID == source.StudyInstanceUID, kind
        assert dataset.PatientID == source.PatientID, kind
        if kind in PICTURES:
            assert NOT_FOR_DIAGNOSIS in dataset.ImageComments.upper(), kind
            (series,) = dataset.ReferencedSeriesSequence
            assert series.SeriesInstanceUID == source.SeriesInstanceUID, kind


def test_each_is_valid_as_the_archive_has_it(site: Site, study: StudyStanding) -> None:
    program = validator()
    if program is None:
        pytest.skip("dicom3tools is not installed")
    kept = [site.archive.file(each.result.sop_instance_uid) for each in study.results]
    assert first_errors(program, kept) == [""] * len(kept)


def test_an_emergency_gets_the_picture_of_its_key_slice_and_waits_for_no_other(
    site: Site, study: StudyStanding, slices: list[Path], tmp_path: Path
) -> None:
    urgent = derived_uid("slices", "urgent study")
    for number, file in enumerate(slices):
        image = pydicom.dcmread(file)
        image.StudyInstanceUID, image.SeriesInstanceUID = urgent, derived_uid(urgent)
        image.SOPInstanceUID = derived_uid(urgent, str(number))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(tmp_path / file.name)
    assert site.send(*sorted(tmp_path.iterdir()), called="LIGHTBOX_STAT").returncode == 0
    studies = site.until(answered(2), 120).studies()
    (emergency,) = (each for each in studies if each.study_instance_uid == urgent)
    kinds = {each.result.kind for each in emergency.results}
    assert kinds == {
        ResultKind.SECONDARY_CAPTURE,
        ResultKind.SEGMENTATION,
        ResultKind.STRUCTURED_REPORT,
    }


def test_all_that_was_received_is_proved_to_be_delivered(site: Site, study: StudyStanding) -> None:
    proof = site.prove()
    assert proof.ok, proof.problems
