"""Ultrasound, ophthalmic tomography of one and of many frames, and a CT series go the whole way.

Of CT no package is shipped, since nothing could teach one: here is a network of three layers that
sums what is denser than 120 Hounsfield units, in slices brought to two millimetres.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from onnx import helper
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from dicom_images import a_file
from explained_builders import a_header
from lightbox.domain.account import Account
from lightbox.domain.identity import derived_uid
from lightbox.domain.standing import StudyStanding
from lightbox.infer.packages import CARD, MANIFEST, WEIGHTS, digest
from lightbox.tools.archive import Archive
from networks import a_graph
from site_of_tests import MODELS, Site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed"),
]

CT_MANIFEST = """\
name = "dense_ct"
version = "1.0.0"
sha256 = "{sha256}"
unit = "series"
intended_use = "Tests."
licence = "Apache-2.0"
citation = "None."

[accepts]
modality = ["CT"]

[preprocessing]
size = [64, 64]
levels = [-160, 240]
fit = "spacing"
spacing = [2.0, 2.0]

[[findings]]
name = "dense"
label = "Something dense"
code = {{ scheme = "99TEST", value = "dense", meaning = "Dense" }}

[[findings]]
name = "nothing"
label = "Nothing dense"
code = {{ scheme = "SCT", value = "17621005", meaning = "Normal" }}
negative = true

[explanation]
target_layer = "features"
"""
EXTRA = """
[audit]
modalities = []
sample = 0
below_confidence = 0
[models.dense_ct]
audit_below = 0
[models.retinal_oct]
audit_below = 0
[models.breast_ultrasound]
audit_below = 0
"""
SLICES, DENSE = 9, 6
CENTRE = (38, 66)  # of the disc, rows and columns


def a_ct_package(models: Path) -> None:
    """Write the package."""
    constants = {
        "one": np.ones((1, 1, 1, 1), np.float32),
        "most": np.array([-0.7], np.float32),  # 120 Hounsfield units on the scale of the levels
        "weights": np.array([[1600.0], [0.0]], np.float32),
        "bias": np.array([-3.0, 0.0], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "one", "most"], ["denser"]),
        helper.make_node("Relu", ["denser"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"], transB=1),
    ]
    weights = a_graph(nodes, constants, image=("batch", 1, 64, 64), logits=("batch", 2))
    folder = models / "dense_ct"
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_text(CT_MANIFEST.format(sha256=digest(weights)))
    (folder / CARD).write_text("# dense_ct\n\nFor tests only.\n")


def a_slice(number: int) -> Dataset:
    """Return one slice of a body with a dense disc in slice ``DENSE``; air and table around it."""
    y, x = np.mgrid[0:100, 0:100]
    values = np.where(np.hypot(y - 50, x - 50) < 42, 40, -1000)
    if number == DENSE:
        values[np.hypot(y - CENTRE[0], x - CENTRE[1]) < 8] = 220
    image = a_header(
        100, 100,
        SOPClassUID=CTImageStorage, Modality="CT", StudyDescription="CT abdomen",
        BodyPartExamined="ABDOMEN", InstanceNumber=number, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        SOPInstanceUID=derived_uid("ct", str(number)), StudyInstanceUID=derived_uid("ct", "study"),
        SeriesInstanceUID=derived_uid("ct", "series"), PixelSpacing=[1.2, 1.2],
        ImagePositionPatient=[-60.0, -60.0, 5.0 * number],
        RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU",
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelRepresentation=0,
        BitsAllocated=16, BitsStored=12, HighBit=11,
        WindowCenter=-600, WindowWidth=1500,  # of a lung: the network must not care
    )  # fmt: skip
    image.PixelData = (values + 1024).astype("<u2").tobytes()
    return image


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site on which both demonstrations are enabled by their names."""
    models = tmp_path / "models"
    for name in ("retinal_oct", "breast_ultrasound"):
        shutil.copytree(MODELS / name, models / name)
    a_ct_package(models)
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, EXTRA)
        text = site.config.read_text().replace(str(MODELS), str(models))
        enabled = 'enabled = ["retinal_oct", "breast_ultrasound", "dense_ct"]'
        site.config.write_text(text.replace('enabled = ["brain_tumour_mri"]', enabled))
        site.start()
        yield site
        site.service.stop()


def results_of(site: Site, study: StudyStanding) -> dict[str, Dataset]:
    """Return what was made of a study, each without an error of ``dciodvfy``, all in the archive."""
    made: dict[str, Dataset] = {}
    for each in study.results:
        path = site.data / each.result.path
        said = subprocess.run(
            ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False
        )
        assert [line for line in said.stderr.splitlines() if line.startswith("Error")] == []
        made[each.result.kind.value] = pydicom.dcmread(path)
    assert {str(each.SOPInstanceUID) for each in made.values()} <= set(site.held())
    return made


def walked(report: Dataset) -> Iterator[Dataset]:
    """Yield the content items of a report."""
    for item in report.get("ContentSequence", ()):
        yield item
        yield from walked(item)


def test_each_gets_its_results_and_the_demonstrations_say_what_they_are(
    site: Site, tmp_path: Path
) -> None:
    folders = [MODELS / name / "samples" for name in ("retinal_oct", "breast_ultrasound")]
    sent = {
        "retinal_oct": folders[0] / "cnv_8598714_1.dcm",
        "frames": folders[0] / "dme_9721607_1_frames.dcm",
        "breast_ultrasound": folders[1] / "malignant_45.dcm",
    }
    numbers = range(1, SLICES + 1)
    ct = [a_file(tmp_path / f"ct{number}.dcm", a_slice(number)) for number in numbers]
    done = site.lightbox(
        "send", *map(str, (*sent.values(), *ct)), "--to", f"127.0.0.1:{site.dicom_port}"
    )
    assert done.returncode == 0, done.stderr

    def delivered(account: Account) -> bool:
        studies = account.studies()
        return len(studies) == 4 and all(study.turnaround is not None for study in studies)

    studies = {study.study_instance_uid: study for study in site.until(delivered, 120).studies()}
    for name, path in sent.items():
        source = pydicom.dcmread(path)
        made = results_of(site, studies[source.StudyInstanceUID])
        assert {"sc", "seg", "sr"} <= set(made), name
        assert "Demonstration: learned from" in made["sc"].ImageComments, name
        words = [item.TextValue for item in walked(made["sr"]) if "TextValue" in item]
        assert any(each.startswith("Demonstration: learned from") for each in words), name
        assert made["seg"].pixel_array.shape[-2:] == (source.Rows, source.Columns), name
        assert made["seg"].pixel_array.any(), name

    made = results_of(site, studies[str(derived_uid("ct", "study"))])
    assert "Something dense" in made["sc"].ImageComments
    assert made["sc"].SourceImageSequence[0].ReferencedSOPInstanceUID == derived_uid(
        "ct", f"{DENSE}"
    )
    rows, columns = np.nonzero(made["seg"].pixel_array.reshape(-1, 100, 100).any(axis=0))
    np.testing.assert_allclose((rows.mean(), columns.mean()), CENTRE, atol=1.5)
    assert np.hypot(rows - CENTRE[0], columns - CENTRE[1]).max() < 8 + 2.5
    proof = site.prove()
    assert proof.ok, proof.problems
