"""Steps from element to element of a data set, believing nothing (PS3.5 section 7).

Values are not decoded. Lengths and nesting are bounded; there is no recursion to exhaust.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

UNDEFINED = 0xFFFFFFFF
"""Length of a value that ends with a delimiter."""

Buffer: TypeAlias = bytes | bytearray | mmap.mmap

_ITEM_GROUP = 0xFFFE
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)

_SHORT_VRS = frozenset(
    (
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT",
        b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
    )
)  # fmt: skip
"""Value representations whose length has 16 bits (PS3.5 7.1.2)."""


class CutOffError(Exception):
    """The bytes end inside of an element."""


class BrokenError(Exception):
    """These bytes are no data set; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element of the top level stands.

    Attributes
    ----------
    tag : int
        Group and element.
    start : int
        Offset of its tag.
    value_start : int
        Offset of its value.
    length : int
        Of its value, or :data:`UNDEFINED`.
    """

    tag: int
    start: int
    value_start: int
    length: int

    @property
    def name(self) -> str:
        """Tag as people write it."""
        return name(self.tag)


def name(tag: int) -> str:
    """Return a tag as people write it, such as (0008,0018)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


class Elements:
    """A walk over the top level.

    Parameters
    ----------
    data : bytes-like
        Possibly cut off.
    transfer_syntax_uid : str
        Any but a deflated one.
    start : int
        Offset of the first element.
    nesting : int
        Deepest nesting of sequences of undefined length.
    """

    def __init__(
        self, data: Buffer, transfer_syntax_uid: str, start: int = 0, nesting: int = 64
    ) -> None:
        order = ">" if transfer_syntax_uid == EXPLICIT_BIG else "<"
        self._data = data
        self._size = len(data)
        self._at = start
        self._nesting = nesting
        self._implicit = transfer_syntax_uid == IMPLICIT_LITTLE
        self._tag = struct.Struct(f"{order}HH")
        self._short = struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}L")
        self._whole = struct.Struct(f"{order}HHL" if self._implicit else f"{order}HH2sH")

    def until(self, last: int) -> Iterator[Element]:
        """Yield elements up to and with the first whose tag is ``last`` or greater.

        A value need not be there yet when its element is yielded, but must be for the next.

        Raises
        ------
        CutOffError
            If the bytes end inside of an element.
        BrokenError
            If they are no data set.
        """
        while self._at < self._size:
            start = self._at
            tag, length, implicit = self._header(implicit=self._implicit)
            yield Element(tag, start, self._at, length)
            if tag >= last:
                return
            self._step_over(length, implicit=implicit)

    def values_of(self, wanted: frozenset[int], last: int) -> tuple[dict[int, bytes], bool]:
        """Return the values of these elements, and whether a tag of ``last`` or greater was seen.

        The walk ends there. A value of undefined length is none.

        Raises
        ------
        CutOffError, BrokenError
            As :meth:`until` does.
        """
        found: dict[int, bytes] = {}
        while self._pass(wanted, last, found):
            tag, length, implicit = self._header(implicit=self._implicit)
            if tag in wanted and length != UNDEFINED:
                found[tag] = self._bytes(self._at, length)
            if tag >= last:
                return found, True
            self._step_over(length, implicit=implicit)
        return found, False

    def _pass(self, wanted: frozenset[int], last: int, found: dict[int, bytes]) -> bool:
        """Take plain short elements; say whether one comes that is not, or is the last.

        A header has a hundred elements before what identifies it, and each sender waits for this:
        what is rare goes by the longer way.
        """
        data, size, at, unpack = self._data, self._size, self._at, self._whole.unpack_from
        most, implicit = size - 8, self._implicit
        while at <= most:
            if implicit:
                group, element, length = unpack(data, at)
            else:
                group, element, vr, length = unpack(data, at)
                if vr not in _SHORT_VRS:
                    break
            tag, end = group << 16 | element, at + 8 + length
            if tag >= last or length == UNDEFINED or group == _ITEM_GROUP or end > size:
                break
            if tag in wanted:
                found[tag] = bytes(data[at + 8 : end])
            at = end
        self._at = at
        return at < size

    def of_group(self, group: int) -> Iterator[Element]:
        """Yield the elements of this group that come next; the first other is not looked into.

        Raises
        ------
        CutOffError, BrokenError
            As :meth:`until` does.
        """
        while self._at < self._size:
            start = self._at
            if self._next_tag() >> 16 != group:
                return
            tag, length, implicit = self._header(implicit=self._implicit)
            yield Element(tag, start, self._at, length)
            self._step_over(length, implicit=implicit)

    @property
    def position(self) -> int:
        """Offset of what has not been looked at."""
        return self._at

    def value(self, element: Element) -> bytes:
        """Return the value of an element of defined length.

        Raises
        ------
        CutOffError
            If it is not all there.
        """
        return self._bytes(element.value_start, element.length)

    def _bytes(self, start: int, length: int) -> bytes:
        if start + length > self._size:
            raise CutOffError
        return bytes(self._data[start : start + length])

    def _next_tag(self) -> int:
        if self._at + 4 > self._size:
            raise CutOffError
        group, element = self._tag.unpack_from(self._data, self._at)
        return int(group << 16 | element)

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > self._size:
            raise CutOffError

    def _header(self, *, implicit: bool) -> tuple[int, int, bool]:
        """Read tag and length; say whether what is inside of the value is implicit."""
        at = self._at
        self._skip(8)
        group, element = self._tag.unpack_from(self._data, at)
        tag = group << 16 | element
        if implicit or group == _ITEM_GROUP:
            return tag, int(self._long.unpack_from(self._data, at + 4)[0]), implicit
        vr = bytes(self._data[at + 4 : at + 6])
        if vr not in _LONG_VRS:
            if not (vr.isalpha() and vr.isupper()):
                raise BrokenError(f"{name(tag)} has no value representation")
            return tag, int(self._short.unpack_from(self._data, at + 6)[0]), False
        self._skip(4)
        length = int(self._long.unpack_from(self._data, at + 8)[0])
        return tag, length, vr == b"UN" and length == UNDEFINED  # PS3.5 6.2.2, note 2

    def _step_over(self, length: int, *, implicit: bool) -> None:
        """Step over a value; one of undefined length with all that is in it."""
        if length != UNDEFINED:
            self._skip(length)
            return
        inside = [implicit]  # one entry per sequence or item that is open
        while inside:
            tag, length, inner = self._header(implicit=inside[-1])
            if tag in (_ITEM_END, _SEQUENCE_END):
                inside.pop()
            elif length != UNDEFINED:
                self._skip(length)
            elif len(inside) > 2 * self._nesting:
                raise BrokenError(f"sequences are nested more than {self._nesting} deep")
            else:
                inside.append(inner)
