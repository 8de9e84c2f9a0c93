"""Which instance is it? Reads four UIDs at the head of a data set while the rest still arrives.

Only top-level elements up to (0020,000E) are looked at; sequences before them are stepped over.
Nothing is decoded, and nothing is believed: lengths are bounded, nesting is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.domain.identity import is_uid

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

_SOP_CLASS = 0x00080016
_SOP_INSTANCE = 0x00080018
_STUDY = 0x0020000D
_SERIES = 0x0020000E
_WANTED = (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES)

_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_HEAD_AT_MOST = 4 * 2**20
_NESTING = 64
_UID_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Uids:
    """What a data set says that it is."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


class _MoreError(Exception):
    """The head goes on in bytes that have not arrived."""


def _broken(text: str) -> RefusedError:
    return RefusedError(RefusalReason.CANNOT_UNDERSTAND, "data set", text)


class _Scan:
    """One pass over the bytes that have arrived so far."""

    def __init__(self, data: bytearray, syntax: str) -> None:
        self._data = data
        self._at = 0
        self._big = syntax == EXPLICIT_BIG
        order = ">" if self._big else "<"
        self._tag = struct.Struct(f"{order}HH")
        self._short = struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}L")
        self._implicit = syntax == IMPLICIT_LITTLE

    def uids(self) -> dict[int, str]:
        """Return what was found up to the series UID or the first element after it."""
        found: dict[int, str] = {}
        while True:
            tag, length, implicit = self._element(implicit=self._implicit)
            if tag > _SERIES:
                return found
            if length == _UNDEFINED:
                self._step_over_items(implicit=implicit)
                continue
            value_at = self._at
            self._skip(length)
            if tag in _WANTED:
                if length > _UID_CHARACTERS:
                    raise _broken(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has {length} characters")
                found[tag] = bytes(self._data[value_at : self._at]).rstrip(b"\0 ").decode("latin-1")
            if tag == _SERIES:
                return found

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise _MoreError

    def _element(self, *, implicit: bool) -> tuple[int, int, bool]:
        """Read tag and length; say whether what is inside of it is implicit."""
        at = self._at
        self._skip(8)
        group, element = self._tag.unpack_from(self._data, at)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:
            return tag, int(self._long.unpack_from(self._data, at + 4)[0]), implicit
        vr = bytes(self._data[at + 4 : at + 6])
        if vr not in _LONG_VRS:
            if not (vr.isalpha() and vr.isupper()):
                raise _broken(f"({group:04X},{element:04X}) has no value representation")
            return tag, int(self._short.unpack_from(self._data, at + 6)[0]), False
        self._skip(4)
        length = int(self._long.unpack_from(self._data, at + 8)[0])
        return tag, length, vr == b"UN" and length == _UNDEFINED  # PS3.5 6.2.2, note 2

    def _step_over_items(self, *, implicit: bool) -> None:
        """Step over a sequence of undefined length, and what is in it."""
        inside = [implicit]  # one entry per sequence or item that is open
        while inside:
            tag, length, inner = self._element(implicit=inside[-1])
            if tag in (_ITEM_END, _SEQUENCE_END):
                inside.pop()
            elif length == _UNDEFINED:
                if len(inside) > 2 * _NESTING:
                    raise _broken(f"sequences are nested more than {_NESTING} deep")
                inside.append(inner)
            else:
                self._skip(length)


class Head:
    """Collects the head of a data set until the four UIDs are known.

    Parameters
    ----------
    transfer_syntax_uid : str
        Of the data set; not a deflated one.
    """

    def __init__(self, transfer_syntax_uid: str) -> None:
        self._syntax = transfer_syntax_uid
        self._data = bytearray()
        self._try_at = 1
        self.uids: Uids | None = None

    def add(self, piece: memoryview) -> bool:
        """Take the next bytes; return whether the UIDs are known now.

        Raises
        ------
        RefusedError
            If the head cannot be understood or does not end.
        """
        self._data += piece
        if len(self._data) < self._try_at:
            return False
        try:
            self._read()
        except _MoreError:
            if len(self._data) > _HEAD_AT_MOST:
                raise _broken(f"no Series Instance UID in {_HEAD_AT_MOST} bytes") from None
            self._try_at = 2 * len(self._data)  # so that tiny fragments cost no square of time
            return False
        return True

    def end(self) -> Uids:
        """Return the UIDs; the data set has ended.

        Raises
        ------
        RefusedError
            If it has not all four.
        """
        if self.uids is None:
            try:
                self._read()
            except _MoreError:
                raise _broken("it ends before its Series Instance UID") from None
        assert self.uids is not None
        return self.uids

    def _read(self) -> None:
        found = _Scan(self._data, self._syntax).uids()
        for tag in _WANTED:
            if not is_uid(found.get(tag, "")):
                name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
                raise _broken(f"{name} is missing or no UID: {found.get(tag, '')[:64]!r}")
        self.uids = Uids(*(found[tag] for tag in _WANTED))
        self._data.clear()
