"""A stored file: what we write before the data set, whether it still is what it was, what it is.

Preamble and File Meta Information are ours (PS3.10 7.1), the data set is the sender's.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from lightbox.domain.errors import RefusedError, UnreadableError
from lightbox.domain.study import Instance
from lightbox.receive.elements import EXPLICIT_LITTLE, BrokenError, CutOffError, Elements
from lightbox.receive.identify import Head, Uids
from lightbox.version import __version__

IMPLEMENTATION_CLASS_UID = "2.25.315232821734414382038690006923167313102"
"""Ours, in negotiation (PS3.7 D.3.3.2) and in files; drawn once (PS3.5 B.2)."""

IMPLEMENTATION_VERSION_NAME = f"LIGHTBOX_{__version__}"[:16]

_META_LENGTH = struct.Struct("<L")
_META_START = 144  # preamble, DICM, and (0002,0000) itself
_CHUNK = 2**20
_TRANSFER_SYNTAX = 0x00020010
_SENDER = 0x00020016
_SHORT = struct.Struct("<HH2sH")
_LONG = struct.Struct("<HH2sHL")
_START = bytes(128) + b"DICM" + _SHORT.pack(2, 0, b"UL", 4)


def _element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT.pack(2, element, vr, len(value)) + value


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae: str
) -> bytes:
    """Return what stands before the data set: zeros, "DICM", group 0002."""
    before, after = _around(sop_class_uid, transfer_syntax_uid, calling_ae)
    body = before + _element(0x0003, b"UI", sop_instance_uid) + after
    return _START + _META_LENGTH.pack(len(body)) + body


@lru_cache(maxsize=64)
def _around(sop_class_uid: str, transfer_syntax_uid: str, calling_ae: str) -> tuple[bytes, bytes]:
    """Return what stands before and after the SOP Instance UID: the same for a whole series."""
    before = _LONG.pack(2, 0x0001, b"OB", 0, 2) + b"\0\1" + _element(0x0002, b"UI", sop_class_uid)
    after = (
        _element(0x0010, b"UI", transfer_syntax_uid)
        + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
        + _element(0x0016, b"AE", calling_ae)
    )
    return before, after


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


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a stored file says of itself.

    Attributes
    ----------
    calling_ae : str
        Who sent it, as we noted it in its File Meta Information.
    """

    instance: Instance
    calling_ae: str


def read_back(root: Path, path: str) -> ReadBack:
    """Say what a stored file is, from its own bytes: where the row that said so is lost.

    Parameters
    ----------
    root : Path
        The data directory.
    path : str
        Relative to it. The file must be one whose instance was acknowledged: nothing in a file
        tells whether all of its bytes are there.

    Raises
    ------
    UnreadableError
        If it is no file that we wrote.
    """
    try:
        with (root / path).open("rb") as file:
            said = _said(file)
            syntax = said.get(_TRANSFER_SYNTAX, "")
            uids, sha256 = _content(file, syntax)
            size = file.tell()
    except (BrokenError, CutOffError, RefusedError) as error:
        reason = f"is none that was stored here: {str(error) or 'it is cut off'}"
        raise UnreadableError(path, reason, "look at it, then remove it") from error
    instance = Instance(
        uids.sop_instance_uid, uids.sop_class_uid, uids.study_instance_uid,
        uids.series_instance_uid, syntax, path, sha256, size,
    )  # fmt: skip
    return ReadBack(instance, said.get(_SENDER, ""))


def _said(file: BinaryIO) -> dict[int, str]:
    """Read the File Meta Information; leave the file at its data set."""
    head = file.read(_META_START)
    if len(head) < _META_START or head[128:132] != b"DICM":
        raise BrokenError("it is no DICOM file (PS3.10)")
    meta = file.read(_META_LENGTH.unpack(head[-4:])[0])
    elements = Elements(meta, EXPLICIT_LITTLE)
    return {
        each.tag: elements.value(each).rstrip(b"\0 ").decode("latin-1")
        for each in elements.of_group(0x0002)
    }


def _content(file: BinaryIO, syntax: str) -> tuple[Uids, str]:
    """Read the data set; return its UIDs and its SHA-256."""
    head, digest = Head(syntax), hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        if not head.is_done:
            head.add(memoryview(chunk))
    return head.end(), digest.hexdigest()
