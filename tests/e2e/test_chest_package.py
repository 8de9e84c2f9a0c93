"""The shipped chest package: it is what it says, answers children and nobody else, and hurries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from builders import a_uid
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Urgency
from lightbox.tools.archive import Archive
from site_of_tests import MODELS, Site, answered, lightbox

NAME = "chest_xray_pneumonia"
SAMPLES = sorted((MODELS / NAME / "samples").glob("*.dcm"))
OTHERS = Path(__file__).parents[2] / "../shared/data/dicom/CR"
"""Other people's radiographs, beside the repository; absent elsewhere."""

ILL = next(path for path in SAMPLES if "_pneumonia_" in path.name)
ALONE = """
[audit]
sample = 0
below_confidence = 0
[models.chest_xray_pneumonia]
audit_below = 0
"""


LEG = OTHERS / "RG3_RLE.dcm"


def another(source: Path, target: Path, **attributes: str) -> Path:
    """Write the sample as if it were another patient's."""
    image = pydicom.dcmread(source)
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, keyword, a_uid("chest", keyword, target.name))
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(target, enforce_file_format=True)
    return target


def test_it_passes_its_own_check() -> None:
    done = lightbox("models", "check", str(MODELS / NAME))
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_samples_are_answered_and_no_other_age(tmp_path: Path) -> None:
    told = tmp_path / "answers.json"
    refused = {
        another(ILL, tmp_path / "adult.dcm", PatientAge="045Y"): "the patient is older than",
        another(ILL, tmp_path / "baby.dcm", PatientAge="011M"): "the patient is younger than",
        another(ILL, tmp_path / "unknown.dcm", PatientAge=""): "age is not stated",
    }
    files = [*SAMPLES, *refused, *sorted(OTHERS.glob("*.dcm"))]
    lightbox(
        "explain", *map(str, files), "--model", NAME, "--json", str(told),
        LIGHTBOX__MODELS__PATH=str(MODELS),
    )  # fmt: skip
    answers = {Path(each["file"]): each for each in json.loads(told.read_text())}
    assert [path.name for path in SAMPLES if answers[path]["refused"]] == []
    right = sum(f"_{answers[path]['finding']}_" in path.name for path in SAMPLES)
    assert right >= len(SAMPLES) - 1
    for path, why in refused.items():
        assert why in answers[path]["refused"]
        assert "45" not in answers[path]["refused"]
    assert all(answers[path.resolve()]["refused"] for path in OTHERS.glob("*.dcm"))


@pytest.mark.skipif(not LEG.is_file(), reason=f"{LEG} is not there")
def test_a_leg_that_is_said_to_be_a_childs_chest_is_outside_of_its_range(tmp_path: Path) -> None:
    told = tmp_path / "answers.json"
    said = {"Modality": "CR", "BodyPartExamined": "CHEST", "PatientAge": "003Y"}
    leg = another(LEG, tmp_path / "leg.dcm", **said, StudyDescription="", SeriesDescription="")
    environ = {"LIGHTBOX__MODELS__PATH": str(MODELS)}
    lightbox("explain", str(leg), "--model", NAME, "--json", str(told), **environ)
    (answer,) = json.loads(told.read_text())
    assert "is outside of the model's range" in answer["refused"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, ALONE)
        text = site.config.read_text()
        site.config.write_text(text.replace('["brain_tumour_mri"]', f'["{NAME}"]'))
        site.start()
        yield site
        site.service.stop()


@pytest.mark.slow
def test_a_childs_pneumonia_is_critical_and_an_adult_is_listed(site: Site, tmp_path: Path) -> None:
    emergency = another(ILL, tmp_path / "emergency.dcm")
    adult = another(ILL, tmp_path / "adult.dcm", PatientAge="045Y")
    assert site.send(emergency, called="LIGHTBOX_STAT").returncode == 0
    assert site.send(ILL).returncode == 0
    assert site.send(adult).returncode == 0
    account = site.until(lambda account: answered(2)(account) and len(account.studies()) == 3)

    of = {
        path: account.study(str(pydicom.dcmread(path).StudyInstanceUID))
        for path in (emergency, ILL, adult)
    }
    for path, urgency in ((emergency, Urgency.STAT), (ILL, Urgency.HIGH)):
        study = of[path]
        assert (study.finding, study.urgency) == ("pneumonia", urgency)
        assert study.audit.reason == "critical finding pneumonia"
        held = set(site.held())
        # Its maps are not fit to be shown: a picture and a report, no segmentation of where it looked.
        assert {r.result.kind.value for r in study.results} == {"sc", "sr"}
        assert all(r.result.sop_instance_uid in held for r in study.results if r.is_stored)
    (listed,) = of[adult].instances
    assert listed.verdict.reason is ListedReason.NOT_APPLICABLE
    assert listed.verdict.detail == (
        f"{NAME}: the patient is older than the model is for, 1 to 5 years"
    )
    assert site.prove().ok
