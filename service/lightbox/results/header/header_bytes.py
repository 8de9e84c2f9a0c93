"""The part of a DICOM file that results are made from: everything before the pixel data."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lightbox.domain.errors import ResultError


def header_of(path: Path) -> bytes:
    """Return a stored file up to its pixel data, a valid DICOM file by itself.

    Raises
    ------
    ResultError
        If it is gone or cannot be read any more.
    """
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=True)
            length = stream.tell()  # the reader goes back to where the pixel data begins
            stream.seek(0)
            if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                return _inflated(dataset)
            return stream.read(length)
    except Exception as error:
        raise ResultError(
            f"source {path.name}", str(error), "restore it from the sender"
        ) from error


def _inflated(dataset: pydicom.Dataset) -> bytes:
    """Write the header anew: a deflated stream cannot be cut."""
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
