"""One frame that is stored as it is: found by stepping over the attributes that nobody asks for.

What decoding looks at is handed to pydicom as the raw elements that it would have read itself; to
convert them stays its part. Whatever is not quite regular is left to it as a whole. Python is slow
where it comes to a file after a network has run: that is what this is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

_META = 132
"""Where the file meta information begins, behind preamble and prefix (PS3.10 7.1)."""
_META_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_EXPLICIT = f"{ExplicitVRLittleEndian}\0".encode()
_SYNTAX, _FRAMES, _PIXELS = 0x00020010, 0x00280008, 0x7FE00010
_SHAPE, _SAMPLES, _PHOTOMETRIC = (0x00280010, 0x00280011), 0x00280002, 0x00280004
_ALLOCATED, _STORED, _SIGNED = 0x00280100, 0x00280101, 0x00280103
_GREY = frozenset({b"MONOCHROME1", b"MONOCHROME2"})
_ITEMS, _DATA_SET = 0xFFFE, 0x00030000
_GROUPS = frozenset({0x0028, 0x7FE0})
_WANTED = frozenset({0x00181164, 0x00182010, 0x52009229, 0x52009230})
"""Beside those groups: spacings of detectors and scanners, functional groups."""
_UNDEFINED = 0xFFFFFFFF
_SHORT = {str(vr).encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_16}
_LONG = {str(vr).encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_32}
_element = Struct("<HH2sH").unpack_from
_length = Struct("<L").unpack_from


class Plain(NamedTuple):
    """A file with one plain frame.

    Attributes
    ----------
    header : Dataset
        What decoding needs of it; its Pixel Data only where ``stored`` is None.
    stored : array, shape (rows, columns), or None
        Its samples, one of a pixel; None: pydicom is to make them of the header.
    """

    header: Dataset
    stored: np.ndarray | None = None


class _IrregularError(Exception):
    """Something that pydicom knows better."""


def says_plain(head: bytes) -> bool:
    """Say whether the first bytes of a file name the syntax of a plain one."""
    return _EXPLICIT in head


def plain_image(data: bytes) -> Plain | None:
    """Return what decoding needs of a file with one plain frame.

    Parameters
    ----------
    data : bytes
        The whole file (PS3.10).

    Returns
    -------
    Plain or None
        None of any file that is not regular, of Explicit VR Little Endian (PS3.5 A.2) and of one
        frame: pydicom reads that.
    """
    if data[_META - 4 : _META + len(_META_LENGTH)] != b"DICM" + _META_LENGTH:
        return None
    begin = _META + len(_META_LENGTH) + 4
    begin += int.from_bytes(data[begin - 4 : begin], "little")
    if begin > len(data):
        return None
    try:
        meta = dict(_elements(data, _META, begin))
        found = dict(_elements(data, begin, len(data)))
    except _IrregularError:
        return None
    if _SYNTAX not in meta or meta[_SYNTAX].value != _EXPLICIT or max(meta) >= _DATA_SET:
        return None
    one = _FRAMES not in found or (found[_FRAMES].value or b"1").strip() == b"1"
    if _PIXELS not in found or not one or min(found) < _DATA_SET:
        return None
    stored = _grey(found, data)
    pixels = found.pop(_PIXELS)
    if stored is None:
        value = data[pixels.value_tell : pixels.value_tell + pixels.length] or None
        found[_PIXELS] = pixels._replace(value=value)
    header = Dataset(_for_pydicom(found))
    header.file_meta = FileMetaDataset(_for_pydicom({_SYNTAX: meta[_SYNTAX]}))
    header.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return Plain(header, stored)


def _for_pydicom(
    found: Mapping[int, RawDataElement],
) -> dict[BaseTag, DataElement | RawDataElement]:
    return {each.tag: each for each in found.values()}


def _grey(found: Mapping[int, RawDataElement], data: bytes) -> np.ndarray | None:
    """Return the samples as pydicom makes them, unused bits aside (PS3.5 8.1.1)."""
    try:
        stated = [_number(found[tag]) for tag in (*_SHAPE, _ALLOCATED, _STORED, _SIGNED, _SAMPLES)]
        photometric, pixels = found[_PHOTOMETRIC].value, found[_PIXELS]
    except KeyError:
        return None
    rows, columns, allocated, bits, signed, samples = stated
    if (
        (photometric or b"").rstrip(b"\0 ") not in _GREY
        or samples != 1
        or allocated not in {8, 16}
        or not 1 <= bits <= allocated
        or signed not in {0, 1}
    ):
        return None
    count = rows * columns
    length = count * allocated // 8
    if not count or pixels.length != length + length % 2:
        return None
    dtype = f"<{'ui'[signed]}{allocated // 8}"
    stored = np.frombuffer(data, dtype, count, pixels.value_tell)
    stored = stored.reshape(rows, columns)
    if bits < allocated:
        stored = stored << (allocated - bits)
        stored >>= allocated - bits
    return stored


def _number(element: RawDataElement) -> int:
    """Return one unsigned number of 16 bits, or -1 where it is something else."""
    if element.VR != "US" or element.value is None or len(element.value) != 2:
        return -1
    return int.from_bytes(element.value, "little")


def _elements(data: bytes, at: int, end: int) -> Iterator[tuple[int, RawDataElement]]:
    """Yield the wanted elements between two places, which they fill exactly, in order of their tags."""
    before, meta = -1, at == _META
    while at < end:
        if at + 8 > end:
            raise _IrregularError
        group, number, vr, length = _element(data, at)
        tag = group << 16 | number
        at += 8
        name = _SHORT.get(vr)
        if name is None:
            name = _LONG.get(vr)
            if name is None or at + 4 > end:
                raise _IrregularError
            (length,) = _length(data, at)
            at += 4
        if tag <= before or length > end - at or length == _UNDEFINED or group == _ITEMS:
            raise _IrregularError
        before = tag
        if meta or group in _GROUPS or tag in _WANTED:
            # Of no value pydicom reads b"" of some kinds and None of others; both convert alike.
            value = None if tag == _PIXELS else data[at : at + length] or None
            yield tag, RawDataElement(BaseTag(tag), name, length, value, at, False, True)
        at += length
