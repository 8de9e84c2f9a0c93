"""Reads the header of a stored instance, up to its pixel data, within limits.

Not on the path of receiving: nothing is decoded before the sender has its answer.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import secrets
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from lightbox.domain.age import COMPLETED_YEARS, completed_years
from lightbox.domain.errors import RefusedError, UnreadableError
from lightbox.domain.patient import PATIENT
from lightbox.domain.study import Attributes
from lightbox.receive.elements import (
    EXPLICIT_LITTLE,
    UNDEFINED,
    BrokenError,
    CutOffError,
    Elements,
)
from lightbox.receive.inflate import DEFLATED, Inflating

ALWAYS = (
    "Modality",
    "BodyPartExamined",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StationName",
    "Manufacturer",
    "ManufacturerModelName",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImageType",
    "RequestedProcedurePriority",
    "BurnedInAnnotation",
)
"""Read whatever is asked for."""

_HEADER_AT_MOST = 16 * 2**20
"""Bytes of a deflated header that are inflated; what they are of may be longer."""

_CHUNK = 64 * 1024
_META_START = 132
_TRANSFER_SYNTAX = 0x00020010
_META = 0x0002
_EQUIPMENT = 0x0018A001
_FIRST_PIXEL_DATA = 0x7FE00008
_PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_PATIENT_GROUP = 0x0010
_PERSON_NAME = "PN"
_MEND = "ask the sender to export it again"
_DIGESTS = "PatientDigests"
_AGED = ("PatientAge", "PatientBirthDate", "StudyDate")
_DIGEST_KEY = secrets.token_bytes(32)
"""Drawn at each start and written nowhere: a digest tells only this process that two differ."""


def describe(path: Path, keywords: Iterable[str], nesting: int) -> Attributes:
    """Read attributes of a stored file, never the patient's but for the age.

    Parameters
    ----------
    path : Path
        A DICOM file (PS3.10).
    keywords : iterable of str
        Wanted besides :data:`ALWAYS`; names that are no keywords, of the patient module (group
        0010), or of persons are left out.
    nesting : int
        Deepest nesting of sequences that is read.

    Returns
    -------
    mapping of str to str
        Keyword → text, several values joined by a backslash; absent attributes are absent. Also
        ``ContributingDeviceUID`` (Device UIDs of the contributing equipment), ``HasPixelData``
        ("YES" or "NO"), ``CompletedYears`` (the patient's age at the study, where it is stated)
        and what :func:`patient_digests` reads.

    Raises
    ------
    UnreadableError
        If it is no DICOM file, is cut off, or is nested too deeply.
    """
    wanted = {k: BaseTag(t) for k in (*ALWAYS, *keywords) if (t := tag_for_keyword(k)) is not None}
    wanted = {k: tag for k, tag in wanted.items() if tag.group != _PATIENT_GROUP}
    try:
        has_pixel_data, inflated = _walk(path, nesting)
        patient = [BaseTag(tag) for k in (*PATIENT, *_AGED) if (tag := tag_for_keyword(k))]
        header = _read(path, inflated, [*wanted.values(), *patient, BaseTag(_EQUIPMENT)])
    except BrokenError as error:
        raise _unreadable(path, str(error)) from error
    except CutOffError as error:
        raise _unreadable(path, "it is cut off") from error
    except Exception as error:  # pydicom raises whatever its field happens to meet
        raise _unreadable(path, f"no readable header: {_one_line(error)}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small sins of real scanners
        found = {keyword: text for keyword, tag in wanted.items() if (text := _text(header, tag))}
        if devices := _devices(header):
            found["ContributingDeviceUID"] = devices
        found[_DIGESTS] = _patient(header)
        years = completed_years(*(_stated(header, keyword) for keyword in _AGED))
        if years is not None:
            found[COMPLETED_YEARS] = str(years)
    found["HasPixelData"] = "YES" if has_pixel_data else "NO"
    return found


def deflated_header(path: Path, nesting: int) -> Dataset:
    """Return the header of a deflated file; no more than that is inflated.

    Raises
    ------
    BrokenError, CutOffError
        If it cannot be read, or is too long.
    """
    _, inflated = _walk(path, nesting)
    return _of_bytes(inflated)


def patient_digests(attributes: Attributes) -> Mapping[str, str]:
    """Return what an image calls its patient, unreadable: keyword → digest.

    Letter case, padding and trailing delimiters make no difference (PS3.5 6.2.1); an attribute
    without a value is absent.
    """
    pairs = (pair.partition("=") for pair in attributes.get(_DIGESTS, "").split() if pair)
    return {keyword: digest for keyword, _, digest in pairs}


def _patient(header: Dataset) -> str:
    """Return the digests of what the header calls the patient, as text."""
    found = []
    for keyword in PATIENT:
        text = " ".join(_stated(header, keyword).strip(" \0^=").upper().split())
        if text:
            digest = hashlib.blake2b(text.encode(), key=_DIGEST_KEY, digest_size=16).hexdigest()
            found.append(f"{keyword}={digest}")
    return " ".join(found)


def _stated(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "")
    except Exception:  # noqa: BLE001  # a value that cannot be read names nobody
        return ""


def _walk(path: Path, nesting: int) -> tuple[bool, bytes]:
    """Check that the file is whole and not too deep.

    Returns
    -------
    bool
        Whether it has pixel data.
    bytes
        Its header in Explicit VR Little Endian, where it is deflated; else nothing.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[128:132] != b"DICM":
            raise BrokenError("it is no DICOM file (PS3.10)")
        syntax = ""
        meta = Elements(data, EXPLICIT_LITTLE, _META_START)
        for element in meta.of_group(_META):
            if element.tag == _TRANSFER_SYNTAX:
                syntax = meta.value(element).rstrip(b"\0 ").decode("latin-1")
        if not syntax:
            raise BrokenError("it names no transfer syntax")
        if syntax == DEFLATED:
            return _inflated(data, meta.position, nesting)
        data_set = Elements(data, syntax, meta.position, nesting)
        ends = [e for e in data_set.until(_FIRST_PIXEL_DATA) if e.tag >= _FIRST_PIXEL_DATA]
        if not ends or ends[0].tag not in _PIXEL_DATA:
            return False, b""
        if ends[0].length != UNDEFINED and ends[0].value_start + ends[0].length > len(data):
            raise BrokenError("its pixel data is cut off")
        return True, b""


def _inflated(data: mmap.mmap, start: int, nesting: int) -> tuple[bool, bytes]:
    """Inflate up to the pixel data, and no further: nobody knows how much the rest becomes."""
    inflating, head, try_at = Inflating(_HEADER_AT_MOST + _CHUNK), bytearray(), 0
    try:
        for at in range(start, len(data), _CHUNK):
            for piece in inflating.add(data[at : at + _CHUNK]):
                head += piece
                if len(head) > _HEADER_AT_MOST:
                    raise BrokenError(f"no pixel data in {_HEADER_AT_MOST} bytes, inflated")
                if len(head) >= try_at:
                    found = _first_pixel_data(head, nesting)
                    if found:
                        return found in _PIXEL_DATA, bytes(head)
                    try_at = 2 * len(head)
        inflating.end()
    except RefusedError as error:
        raise BrokenError(error.reason) from error
    return _first_pixel_data(head, nesting, ended=True) in _PIXEL_DATA, bytes(head)


def _first_pixel_data(head: bytearray, nesting: int, *, ended: bool = False) -> int:
    """Return the first tag from that of pixel data on, 0 where it has not come."""
    try:
        tags = [
            each.tag
            for each in Elements(head, EXPLICIT_LITTLE, 0, nesting).until(_FIRST_PIXEL_DATA)
        ]
    except CutOffError:
        if ended:
            raise
        return 0
    return tags[-1] if tags and tags[-1] >= _FIRST_PIXEL_DATA else 0


def _read(path: Path, inflated: bytes, tags: list[BaseTag]) -> Dataset:
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if inflated:
            return _of_bytes(inflated, tags)
        return read_partial(
            file, stop_when=_at_pixel_data, specific_tags=[int(tag) for tag in tags]
        )


def _of_bytes(header: bytes, tags: Sequence[BaseTag] = ()) -> Dataset:
    """Read elements of a header in Explicit VR Little Endian; without tags all of them."""
    return read_dataset(
        io.BytesIO(header),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=_at_pixel_data,
        specific_tags=[*tags] or None,
    )


def _at_pixel_data(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >= _FIRST_PIXEL_DATA


def _text(header: Dataset, tag: BaseTag) -> str:
    try:
        element = header[tag]
    except Exception:  # noqa: BLE001  # absent, or its value is none: then it has no text
        return ""
    if element.VR == _PERSON_NAME or element.value is None:
        return ""
    if isinstance(element.value, MultiValue):
        return "\\".join(str(value) for value in element.value)
    return str(element.value)


def _devices(header: Dataset) -> str:
    try:
        items = header.get("ContributingEquipmentSequence", ())
        return "\\".join(str(uid) for item in items if (uid := item.get("DeviceUID")))
    except Exception:  # noqa: BLE001  # a damaged sequence names no device
        return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _unreadable(path: Path, reason: str) -> UnreadableError:
    return UnreadableError(path.name, reason, _MEND)
