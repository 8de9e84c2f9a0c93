"""Honest DICOM images for tests: one picture, stored in many ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from builders import MR_IMAGE, a_uid
from lightbox.domain.arrays import FloatMap
from lightbox.domain.identity import derived_uid


def a_picture(rows: int = 60, columns: int = 44) -> FloatMap:
    """Return a smooth scene with a bright disc, 0 to 1, in steps of 1/255."""
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    scene = (
        0.3 + 0.3 * np.sin(5 * x) * np.cos(4 * y) + 0.4 * ((x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.02)
    )
    levels: FloatMap = np.rint(np.clip(scene, 0, 1) * 255) / 255
    return levels


def an_image(
    stored: np.ndarray,
    attributes: Mapping[str, object] | None = None,
    *,
    bits: int = 0,
    photometric: str = "MONOCHROME2",
) -> Dataset:
    """Return a data set with these pixels, shape ([frames,] rows, columns[, 3])."""
    coloured = photometric in {"RGB", "YBR_FULL"}
    image = Dataset()
    image.SOPClassUID = MR_IMAGE
    image.SOPInstanceUID = a_uid("image", photometric, str(stored.dtype), str(attributes))
    image.Modality = "MR"
    image.Rows, image.Columns = stored.shape[-3:-1] if coloured else stored.shape[-2:]
    if stored.ndim == (4 if coloured else 3):
        image.NumberOfFrames = len(stored)
    image.SamplesPerPixel = 3 if coloured else 1
    if coloured:
        image.PlanarConfiguration = 0
    image.PhotometricInterpretation = photometric
    image.BitsAllocated = 8 * stored.dtype.itemsize
    image.BitsStored = bits or image.BitsAllocated
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in (attributes or {}).items():
        setattr(image, keyword, value)
    image.PixelData = np.ascontiguousarray(stored).tobytes()
    return image


def a_file(path: Path, image: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a DICOM file (PS3.10)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    file = FileDataset(str(path), image, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)
    return path


def a_series(folder: Path, images: Sequence[Path], count: int) -> list[Path]:
    """Write slices of one series of one patient, 5 mm apart, made of these images in turn."""
    folder.mkdir(exist_ok=True)
    first = dcmread(images[0], stop_before_pixels=True)
    patient = first.group_dataset(0x0010)
    files = []
    for number in range(1, count + 1):
        image = dcmread(images[number % len(images)])
        image.update(patient)
        image.StudyInstanceUID = derived_uid("slices", "study")
        image.SeriesInstanceUID = derived_uid("slices", "series")
        image.FrameOfReferenceUID = derived_uid("slices", "frame of reference")
        image.StudyID, image.AccessionNumber = first.StudyID, first.AccessionNumber
        image.SOPInstanceUID = derived_uid("slices", str(number))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.InstanceNumber = number
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [0, 0, 5 * number]
        files.append(folder / f"slice{number:02}.dcm")
        image.save_as(files[-1])
    return files
