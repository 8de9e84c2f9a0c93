"""The values v(S) of one game on disk, append-only, so that resume and replay are the same thing.

A header names the game (number of players, digest of everything that v depends on); each append
is one block with its own checksum. A torn last block is cut off when the file is opened: its
coalitions are simply computed again, so no append needs a sync. A file of another game, or one
whose header is damaged, is begun anew.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap

_MAGIC = b"LBXV0002"
_HEADER = struct.Struct("<8sII32sI")  # magic, players, columns, identity, CRC-32 of the former
_BLOCK = struct.Struct("<II")  # rows, CRC-32 of the payload


class ValuesFile:
    """v(S) of one game, kept in a file.

    Parameters
    ----------
    path : Path
        Where; the folder is made where it is missing.
    identity : bytes
        SHA-256 of everything that v depends on.
    n_players : int
        Number of players.
    columns : int
        Numbers per coalition; the first is v(S).
    """

    def __init__(self, path: Path, identity: bytes, n_players: int, columns: int = 1) -> None:
        self._path = path
        self._columns = columns
        self._bytes_per_row = (n_players + 7) // 8
        fields = _HEADER.pack(_MAGIC, n_players, columns, identity, 0)[:-4]
        self._header = fields + struct.pack("<I", zlib.crc32(fields))

    def load(self) -> Iterator[tuple[bytes, tuple[float, ...]]]:
        """Yield (packed coalition, its numbers) of every whole block, in the order of writing.

        What follows the last whole block is cut off.
        """
        data = self._path.read_bytes() if self._path.exists() else b""
        if not data.startswith(self._header):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(self._header)
            return
        position, width = len(self._header), self._bytes_per_row
        while position < len(data):
            payload = _payload(data, position, width + 8 * self._columns)
            if payload is None:
                with self._path.open("r+b") as file:
                    file.truncate(position)
                return
            position += _BLOCK.size + len(payload)
            rows = len(payload) // (width + 8 * self._columns)
            values = np.frombuffer(payload, dtype="<f8", offset=rows * width)
            for row, numbers in enumerate(values.reshape(rows, self._columns).tolist()):
                yield payload[row * width : (row + 1) * width], tuple(numbers)

    def append(self, packed: bytes, values: FloatMap) -> None:
        """Add one block: rows of packed coalitions and their numbers, shape (rows, columns)."""
        payload = packed + values.astype("<f8").tobytes()
        with self._path.open("ab") as file:
            file.write(_BLOCK.pack(len(values), zlib.crc32(payload)) + payload)


def packed_rows(coalitions: CoalitionMatrix) -> bytes:
    """Pack each coalition into whole bytes, player 0 in the lowest bit; rows follow each other."""
    return np.packbits(coalitions, axis=1, bitorder="little").tobytes()


def unpacked_rows(packed: bytes, n_players: int) -> CoalitionMatrix:
    """Undo :func:`packed_rows`."""
    rows = np.frombuffer(packed, dtype=np.uint8).reshape(-1, (n_players + 7) // 8)
    return np.unpackbits(rows, axis=1, count=n_players, bitorder="little").astype(np.bool_)


def _payload(data: bytes, position: int, per_row: int) -> bytes | None:
    """Payload of the block at ``position``, or None if it is torn or damaged."""
    start = position + _BLOCK.size
    if start > len(data):
        return None
    rows, checksum = _BLOCK.unpack_from(data, position)
    payload = data[start : start + rows * per_row]
    whole = len(payload) == rows * per_row and zlib.crc32(payload) == checksum
    return payload if whole else None
