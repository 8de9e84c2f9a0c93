"""A DICOM file on disk as an instance, as if it had been received."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from lightbox.domain.errors import UnreadableError
from lightbox.domain.study import Instance
from lightbox.receive.header import deflated_header
from lightbox.receive.inflate import DEFLATED
from lightbox.receive.stored_file import data_set_sha256

_NESTING = 64


def instance_of(path: Path) -> Instance:
    """Describe a file; its path is absolute.

    Raises
    ------
    UnreadableError
        If it is no DICOM file, or has no SOP Instance UID.
    """
    path = path.absolute()  # not resolved: it may be an open file without a name
    try:
        meta = read_file_meta_info(path)
        # pydicom inflates a deflated file as a whole, and a stranger's may become gigabytes.
        is_deflated = meta.get("TransferSyntaxUID") == DEFLATED
        header = (
            deflated_header(path, _NESTING)
            if is_deflated
            else pydicom.dcmread(path, stop_before_pixels=True)
        )
        return Instance(
            sop_instance_uid=str(header.SOPInstanceUID),
            sop_class_uid=str(header.SOPClassUID),
            study_instance_uid=str(header.get("StudyInstanceUID", "")),
            series_instance_uid=str(header.get("SeriesInstanceUID", "")),
            transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
            path=str(path),
            sha256=data_set_sha256(path) or hashlib.sha256(path.read_bytes()).hexdigest(),
            size_bytes=path.stat().st_size,
        )
    except InvalidDicomError as error:
        raise UnreadableError(
            str(path), "is not a DICOM file", "give a DICOM file (PS3.10)"
        ) from error
    except Exception as error:
        why = str(error) or type(error).__name__
        raise UnreadableError(str(path), why, "give a DICOM file (PS3.10)") from error
