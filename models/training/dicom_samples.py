"""Validation images as honest MR DICOM: the ``samples/`` of the brain tumour packages.

The pictures are 8-bit JPEG copies of the published arrays, so the objects say DERIVED, lossy, and
de-identified. Half of them are stored with 12 bits, half with 8; half have window values: the
same picture must give the same scores.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from lightbox.domain.identity import derived_uid

# In-plane resolution at 512 x 512 and slice distance as published: Cheng et al. 2015,
# PLoS ONE 10(10):e0140381 (0.49 mm, 6 mm slices, 1 mm gap).
_SPACING_AT_512_MM = 0.49
_ORIENTATION = {
    "axial": ["1", "0", "0", "0", "1", "0"],
    "coronal": ["1", "0", "0", "0", "0", "-1"],
    "sagittal": ["0", "1", "0", "0", "0", "-1"],
}
_ATTRIBUTION = """\
# Where these samples are from
"brain tumor dataset", Jun Cheng, figshare 2017, doi:10.6084/m9.figshare.1512427, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). Cite also Cheng J. et al., PLoS ONE 2015,
10(10):e0140381.

Twelve images of patients that the model did not learn from, one patient each. Changes made: reduced
to 256 x 256 pixels, stored as 8-bit JPEG and then as MR Image Storage objects with 8 or 12 bits, half
of them with window values; names, identifiers and dates are ours. `NAME.mask.png` is the published
outline of the tumour, filled.
"""


def choose(data: Path) -> list[dict[str, str]]:
    """Pick validation images: every class, every plane, one patient each, lesions of usual size."""
    with (data / "labels.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "val"]
    chosen: list[dict[str, str]] = []
    for label in sorted({row["label"] for row in rows}):
        groups: set[str] = set()
        for plane in ("axial", "coronal", "sagittal", "axial"):
            able = [
                row
                for row in rows
                if row["label"] == label
                and row["plane"] == plane
                and row["group"] not in groups
                and 0.008 < float(row["area_fraction"]) < 0.06
            ]
            able = able or [r for r in rows if r["label"] == label and r["group"] not in groups]
            row = able[len(able) // 2]
            groups.add(row["group"])
            chosen.append(row)
    return chosen


def as_dicom(data: Path, row: dict[str, str], number: int) -> Dataset:
    """Wrap one image as an MR Image Storage instance (PS3.3 A.4)."""
    pixels = np.asarray(Image.open(data / row["file"]).convert("L"))
    twelve, window = number % 2 == 1, number % 4 in (1, 2)
    ds = Dataset()
    _identify(ds, row, number)
    _describe(ds)
    spacing = f"{_SPACING_AT_512_MM * 512 / pixels.shape[0]:.4g}"
    ds.PixelSpacing = [spacing, spacing]
    ds.ImageOrientationPatient = _ORIENTATION[row["plane"]]
    ds.ImagePositionPatient = ["0", "0", "0"]
    ds.PositionReferenceIndicator = ""
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    ds.BitsAllocated = 16  # PS3.3 C.8.3.1.1.4: MR images always have 16
    ds.BitsStored = 12 if twelve else 8
    ds.HighBit = ds.BitsStored - 1
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = "8"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    scale = 16 if twelve else 1
    if window:
        ds.WindowCenter, ds.WindowWidth = str(110 * scale), str(200 * scale)
    ds.PixelData = (pixels.astype("<u2") * scale).tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _identify(ds: Dataset, row: dict[str, str], number: int) -> None:
    """Patient, study and series: an identity of the sample's own."""
    key = ("sample", "brain_tumour_mri", row["sha256"])
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = derived_uid(*key, "instance")
    ds.StudyInstanceUID = derived_uid(*key, "study")
    ds.SeriesInstanceUID = derived_uid(*key, "series")
    ds.FrameOfReferenceUID = derived_uid(*key, "frame of reference")
    ds.PatientName = f"Sample^{row['group']}"
    ds.PatientID = f"SAMPLE-{row['group']}"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "published without identity, figshare 1512427"
    ds.StudyID = row["id"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20150101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = f"S{number + 1:04d}"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "MR brain with contrast (sample)"
    ds.SeriesDescription = f"T1 {row['plane']} + contrast"


def _describe(ds: Dataset) -> None:
    """Say how the image was made, as far as it is known; the rest is empty."""
    ds.Modality = "MR"
    ds.Manufacturer = "Lightbox sample"
    ds.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    ds.BodyPartExamined = "BRAIN"
    ds.PatientPosition = "HFS"
    ds.SeriesNumber = 1
    ds.InstanceNumber = 1
    ds.ScanningSequence = "SE"
    ds.SequenceVariant = "NONE"
    ds.ScanOptions = ""
    ds.MRAcquisitionType = "2D"
    ds.EchoTime = ""
    ds.EchoTrainLength = ""
    ds.RepetitionTime = ""
    ds.ContrastBolusAgent = "Gd-DTPA"
    ds.SliceThickness = "6"
    ds.SpacingBetweenSlices = "7"


def write_samples(data: Path, folder: Path) -> list[tuple[str, dict[str, str]]]:
    """Write the samples; return (file name, its row of ``labels.csv``)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ATTRIBUTION.md").write_text(_ATTRIBUTION)
    return write_rows(data, choose(data), folder)


def write_rows(
    data: Path, rows: Sequence[dict[str, str]], folder: Path
) -> list[tuple[str, dict[str, str]]]:
    """Write images as DICOM files with their masks; return (file name, its row)."""
    written = []
    for number, row in enumerate(rows):
        ds = as_dicom(data, row, number)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = f"{row['label']}_{row['plane']}_{row['id']}.dcm"
        ds.save_as(folder / name, enforce_file_format=True)
        mask = Image.open(data / row["mask"]).convert("1")
        mask.save(folder / f"{Path(name).stem}.mask.png", optimize=True)
        written.append((name, row))
    return written
