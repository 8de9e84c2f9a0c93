"""A stored file, looked at again: whether it is what the ledger says."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from lightbox.domain.study import Instance

_META_LENGTH = struct.Struct("<L")
_META_START = 144  # preamble, DICM, and (0002,0000) itself
_CHUNK = 2**20


def data_set_sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file's data set, or None if it is no file that we wrote."""
    try:
        with path.open("rb") as file:
            head = file.read(_META_START)
            if len(head) < _META_START or head[128:132] != b"DICM":
                return None
            file.seek(_META_START + _META_LENGTH.unpack(head[-4:])[0])
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def holds(path: Path, instance: Instance) -> bool:
    """Say whether the file has the size and the data set of ``instance``."""
    try:
        if path.stat().st_size != instance.size_bytes:
            return False
    except FileNotFoundError:
        return False
    return data_set_sha256(path) == instance.sha256
