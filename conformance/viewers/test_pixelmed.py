"""Promise: PixelMed, the third independent reader beside dicom3tools and DCMTK, finds no fault.

Its validator knows the templates of PS3.16, which ``dciodvfy`` does not: every content item of a
report stands where TID 1500 wants it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from explained_builders import DICOM, an_explained, explained_of
from lightbox.domain.explained import Explained
from lightbox.results.structured_report import SrClass, StructuredReport

JAR = Path("/usr/share/java/pixelmed.jar")
_LIFTED = [
    f"-Djdk.xml.{limit}=0"
    for limit in ("xpathExprGrpLimit", "xpathExprOpLimit", "xpathTotalOpLimit")
]
"""Its rules are longer than what Java takes from strangers since 2022."""
_SOON_READY = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]

pytestmark = pytest.mark.skipif(
    not JAR.exists() or shutil.which("java") is None,
    reason="PixelMed is not installed: apt-get install libpixelmed-java default-jre-headless",
)


def complaints(explained: Explained, folder: Path, sr_class: SrClass = "enhanced") -> list[str]:
    """Return the errors that PixelMed finds in the report of an explanation.

    It warns of findings, which the template leaves to us.
    """
    data = StructuredReport(sr_class).write(explained)
    assert data is not None
    file = folder / "report.dcm"
    file.write_bytes(data)
    done = subprocess.run(
        ["java", *_SOON_READY, *_LIFTED, "-cp", str(JAR),
         "com.pixelmed.validate.DicomSRValidator", str(file)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    said = (done.stdout + done.stderr).splitlines()
    assert "IOD validation complete" in said, said
    return [line for line in said if line.startswith(("Error", "Exception"))]


def test_a_report_with_an_outline_follows_its_template(tmp_path: Path) -> None:
    assert complaints(an_explained(), tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("sr_class", ["enhanced", "comprehensive3d"])
@pytest.mark.parametrize("method", ["grad_cam", "shapley"])
def test_reports_of_both_classes_and_paths_follow_their_template(
    method: str, sr_class: SrClass, tmp_path: Path
) -> None:
    assert complaints(an_explained(method=method), tmp_path, sr_class) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "examples_rgb_color.dcm", "CR/RG3_J2KR.dcm", "MR/enhanced/BRTUM008.dcm"],
)
def test_reports_of_real_sources_follow_their_template(name: str, tmp_path: Path) -> None:
    path = DICOM / name if "/" in name else Path(get_testdata_file(name) or "")
    if not path.exists():
        pytest.skip(f"{name}: the collection of DICOM files is not beside this repository")
    assert complaints(explained_of([path]), tmp_path) == []
