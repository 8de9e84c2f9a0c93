"""Validation images as honest CR DICOM: the ``samples/`` of ``chest_xray_pneumonia``.

The pictures are 8-bit JPEG copies, squeezed to squares, without any geometry: the objects say
DERIVED and lossy, and state no pixel spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from lightbox.domain.identity import derived_uid

_ATTRIBUTION = """\
# Where these samples are from
Kermany D, Zhang K, Goldbaum M, "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for
Classification", Mendeley Data, doi:10.17632/rscbjbr9sj, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). Cite also Kermany et al., Cell 2018, 172:1122-1131.

Images of children that the model did not learn from, one child each. Changes made: reduced to 224 x
224 pixels (squeezed to squares), stored as 8-bit JPEG and then as Computed Radiography Image Storage
objects; names, identifiers and dates are ours. The source states no child's age, but that all are 1 to
5 years old: a Patient's Age of 3 years stands for that, and the objects say so.
"""
_AGE = "003Y"
_OF_THE_AGE = "Patient's Age stands for the 1 to 5 years that the source states of all its patients"


def as_dicom(file: Path, group: str, label: str) -> Dataset:
    """Wrap one image as a Computed Radiography instance (PS3.3 A.2)."""
    pixels = np.asarray(Image.open(file).convert("L"))
    key = ("sample", "chest_xray_pneumonia", file.stem)
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.SOPInstanceUID = derived_uid(*key, "instance")
    ds.StudyInstanceUID = derived_uid(*key, "study")
    ds.SeriesInstanceUID = derived_uid(*key, "series")
    ds.PatientName = f"Sample^{group}"
    ds.PatientID = f"SAMPLE-{group}"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.PatientAge = _AGE
    ds.ImageComments = _OF_THE_AGE
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "published without identity"
    ds.StudyID = "1"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20170101"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = f"Chest child (sample, labelled {label})"
    ds.SeriesDescription = "CHEST"
    ds.Modality = "CR"
    ds.Manufacturer = "Lightbox sample"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = ""
    ds.PatientOrientation = ["L", "F"]
    ds.SeriesNumber = ds.InstanceNumber = 1
    _picture(ds, pixels)
    return ds


def _picture(ds: Dataset, pixels: np.ndarray) -> None:
    """Put the pixels in, 8 bits of grey (PS3.3 C.7.6.3)."""
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelRepresentation = 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = "8"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    ds["PixelData"].VR = "OB"


def write_samples(chosen: Sequence[tuple[Path, str, str]], folder: Path) -> None:
    """Write (file, group, label) as DICOM files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ATTRIBUTION.md").write_text(_ATTRIBUTION)
    for file, group, label in chosen:
        _save(as_dicom(file, group, label), folder / f"child_{label}_{group}.dcm")


def write_rows(
    data: Path, rows: Sequence[dict[str, str]], folder: Path
) -> list[tuple[str, dict[str, str]]]:
    """Write children's images as DICOM files; return (file name, its row)."""
    written = []
    for row in rows:
        name = f"child_{row['id']}.dcm"
        _save(as_dicom(data / row["file"], row["group"], row["label"]), folder / name)
        written.append((name, row))
    return written


def _save(ds: Dataset, file: Path) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(file, enforce_file_format=True)
