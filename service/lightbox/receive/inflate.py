"""Deflated data sets (PS3.5 A.5, RFC 1951), inflated as they come and never beyond a bound.

A few kilobytes of them can be a gigabyte: no more than a piece is inflated at a time, and nothing of
it is kept here. What is stored is what came.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from lightbox.domain.errors import RefusalReason, RefusedError

DEFLATED = "1.2.840.10008.1.2.1.99"
"""Deflated Explicit VR Little Endian: inflated, a data set in Explicit VR Little Endian."""

PIECE = 64 * 1024
"""Most bytes that are inflated at a time."""

_RAW = -15  # a deflate stream as it is, without the head and sum of zlib


class Inflating:
    """One stream on its way.

    Parameters
    ----------
    most : int
        Bytes that it may become.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stream = zlib.decompressobj(_RAW)
        self._inflated = 0

    def add(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Take bytes; yield what they become, at most ``PIECE`` at a time.

        Raises
        ------
        RefusedError
            If they are no such stream, or become more than they may.
        """
        left: bytes | memoryview = piece
        inflated = b""
        # A full piece may have more behind it; a byte of padding may follow the end.
        while (len(left) or len(inflated) == PIECE) and not self._stream.eof:
            try:
                inflated = self._stream.decompress(left, PIECE)
            except zlib.error as error:
                raise _refused(RefusalReason.CANNOT_UNDERSTAND, f"not deflated: {error}") from error
            self._inflated += len(inflated)
            if self._inflated > self._most:
                reason = f"deflated, and more than {self._most} bytes (dicom.limits.inflated)"
                raise _refused(RefusalReason.TOO_LARGE, reason)
            yield inflated
            left = self._stream.unconsumed_tail

    def end(self) -> None:
        """Note that no more comes.

        Raises
        ------
        RefusedError
            If the stream does not end here.
        """
        if not self._stream.eof:
            raise _refused(RefusalReason.CANNOT_UNDERSTAND, "its deflated stream is cut off")


def _refused(reason: RefusalReason, text: str) -> RefusedError:
    return RefusedError(reason, "data set", text)
