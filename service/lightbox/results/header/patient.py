"""The patient as the study has him newest, where its images disagree.

A merge or a correction arrives as images that name the patient anew. What is made afterwards of
older images carries the new name, so that an archive files it where the study is now.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from lightbox.domain.errors import ResultError
from lightbox.domain.jobs import Job
from lightbox.domain.study import Instance
from lightbox.results.header.cleaning import copy_clean
from lightbox.results.header.source import read_header

_PATIENT_GROUP = 0x0010
_UTF_8 = "ISO_IR 192"


def sources_of(
    job: Job, patient: Instance | None, headers: Callable[[str], bytes]
) -> tuple[bytes, ...]:
    """Return the headers of a job's images, in its order.

    Parameters
    ----------
    patient : Instance or None
        The image that says who the patient is; None: each for itself.
    headers : callable (path) → bytes
        Returns a stored file up to its pixel data.

    Raises
    ------
    ResultError
        If a header is gone, or cannot be given the patient.
    """
    found = tuple(headers(instance.path) for instance in job.instances)
    if patient is None:
        return found
    newest = headers(patient.path)
    return tuple(with_patient(header, newest) for header in found)


def with_patient(header: bytes, newest: bytes) -> bytes:
    """Return a header with the patient (group 0010) of another one.

    Raises
    ------
    ResultError
        If it cannot be written: then no result is made under a name that may be wrong.
    """
    dataset, other = read_header(header), read_header(newest)
    stated = copy_clean(other, filter(None, map(keyword_for_tag, _patient_tags(other))))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if dataset.get("SpecificCharacterSet") != other.get("SpecificCharacterSet"):
                dataset.decode()
                dataset.SpecificCharacterSet = _UTF_8
            for tag in _patient_tags(dataset):
                del dataset[tag]
            dataset.update(stated)
            return _written(dataset)
    except Exception as error:  # pydicom raises whatever its field happens to meet
        reason = f"cannot be given the newest patient ({type(error).__name__})"
        raise ResultError("source header", reason, "send the images again, corrected") from error


def _patient_tags(dataset: Dataset) -> list[BaseTag]:
    """Return which attributes of the group are there, without reading a value."""
    return [tag for tag in tuple(dataset.keys()) if tag.group == _PATIENT_GROUP]


def _written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
