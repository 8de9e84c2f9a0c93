"""One frame that is stored as it is: found by stepping over the attributes that nobody asks for.

What decoding looks at is handed to pydicom as the raw elements that it would have read itself; to
convert them stays its part. Whatever is not quite regular is left to it as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from pydicom import Dataset
from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_16, EXPLICIT_VR_LENGTH_32

_META = 132
"""Where the file meta information begins, behind preamble and prefix (PS3.10 7.1)."""
_META_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_SYNTAX, _FRAMES, _PIXELS = 0x00020010, 0x00280008, 0x7FE00010
_META_GROUP, _ITEMS, _DATA_SET = 0x0002, 0xFFFE, 0x00030000
_GROUPS = frozenset({0x0028, 0x7FE0})
_WANTED = frozenset({0x00181164, 0x00182010, 0x52009229, 0x52009230})
"""Beside those groups: spacings of detectors and scanners, functional groups."""
_UNDEFINED = 0xFFFFFFFF
_SHORT = {str(vr).encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_16}
_LONG = {str(vr).encode(): str(vr) for vr in EXPLICIT_VR_LENGTH_32}
_element = Struct("<HH2sH").unpack_from
_length = Struct("<L").unpack_from


class _IrregularError(Exception):
    """Something that pydicom knows better."""


def says_plain(head: bytes) -> bool:
    """Say whether the first bytes of a file name the syntax of a plain one."""
    return f"{ExplicitVRLittleEndian}\0".encode() in head


def plain_image(data: bytes) -> Dataset | None:
    """Return what decoding needs of a file with one plain frame, its pixels among it.

    Parameters
    ----------
    data : bytes
        The whole file (PS3.10).

    Returns
    -------
    Dataset or None
        None of any file that is not regular, of Explicit VR Little Endian (PS3.5 A.2) and of one
        frame: pydicom reads that.
    """
    if data[_META - 4 : _META + len(_META_LENGTH)] != b"DICM" + _META_LENGTH:
        return None
    begin = _META + len(_META_LENGTH) + 4
    begin += int.from_bytes(data[begin - 4 : begin], "little")
    try:
        meta = {each.tag: each for each in _elements(data, _META, begin) if _in_meta(each)}
        syntax = meta.get(BaseTag(_SYNTAX))
        if syntax is None or syntax.value != f"{ExplicitVRLittleEndian}\0".encode():
            return None
        found = {each.tag: each for each in _elements(data, begin, len(data))}
    except _IrregularError:
        return None
    frames = found.get(BaseTag(_FRAMES))
    one = frames is None or (frames.value or b"1").strip() == b"1"
    if _PIXELS not in found or not one or min(found) < _DATA_SET:
        return None
    header = Dataset(found)
    header.file_meta = FileMetaDataset(meta)
    header.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return header


def _in_meta(element: RawDataElement) -> bool:
    if element.tag.group != _META_GROUP:
        raise _IrregularError
    return True


def _elements(data: bytes, at: int, end: int) -> Iterator[RawDataElement]:
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
            value = data[at : at + length] if length else empty_value_for_VR(name, raw=True)
            yield RawDataElement(BaseTag(tag), name, length, value, at, False, True)
        at += length
