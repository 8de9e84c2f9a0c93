"""The digest that joins a row to all rows before it. Pure: texts and numbers in, text out.

Each part is preceded by its length, so no two rows can have the same bytes to digest: a character
that moves from the key to the study changes the digest like any other edit.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

_LABEL = b"lightbox ledger 1"
_LENGTH = struct.Struct(">Q")
_NUMBERS = struct.Struct(">qd")


class Row(NamedTuple):
    """A row as it stands in the file; ``body`` is the event's canonical JSON.

    A tuple: one is made for each instance before its sender is answered.
    """

    sequence: int
    at: float
    key: str
    study: str
    body: str
    digest: str


def genesis(chain: str) -> str:
    """Return the digest that the first row follows; it holds the chain's name."""
    return hashlib.sha256(_framed(_LABEL, chain.encode())).hexdigest()


def digest(previous: str, sequence: int, at: float, texts: tuple[str, str, str]) -> str:
    """Return the digest of a row.

    Parameters
    ----------
    previous : str
        Digest of the row before, or :func:`genesis`.
    sequence : int
        Position in the chain, from 1.
    at : float
        Seconds since 1970, digested as an IEEE 754 double.
    texts : tuple of str
        Key, study, body.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    key, study, body = texts
    head = _NUMBERS.pack(sequence, at)
    return hashlib.sha256(
        _framed(_LABEL, previous.encode(), head, key.encode(), study.encode(), body.encode())
    ).hexdigest()


def follows(row: Row, previous: str, sequence: int) -> bool:
    """Say whether ``row`` stands at ``sequence`` and carries the digest that it must carry."""
    right = digest(previous, row.sequence, row.at, (row.key, row.study, row.body))
    return row.sequence == sequence and row.digest == right


def _framed(*parts: bytes) -> bytes:
    return b"".join([piece for part in parts for piece in (_LENGTH.pack(len(part)), part)])
