"""Whether the files that the ledger speaks of are there, with the bytes that were received."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.result import ListedReason
from lightbox.domain.standing import InstanceStanding
from lightbox.domain.study import Instance

_PREAMBLE = 128
_GROUP_LENGTH = struct.Struct("<HH2sHI")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class FilesOf:
    """Where the files are, and since when they must be there.

    Attributes
    ----------
    root : Path
        The data directory.
    kept_since : float
        Seconds since 1970; what arrived earlier and is settled may be gone.
    """

    root: Path
    kept_since: float = 0.0


def file_problems(
    standings: Iterable[InstanceStanding], of: FilesOf, removed: Container[str] = ()
) -> tuple[int, list[str]]:
    """Hash stored instances and results again.

    Parameters
    ----------
    standings : iterable of InstanceStanding
        What was accepted and made.
    of : FilesOf
        Where, and since when.
    removed : container of str
        Paths that the ledger says were removed: nobody misses them.

    Returns
    -------
    tuple of int and list of str
        How many files were hashed, and what is wrong, each named.
    """
    hashed = 0
    problems: list[str] = []
    for standing in standings:
        must_exist = standing.verdict.is_open or standing.arrival.received_at >= of.kept_since
        if standing.verdict.reason == ListedReason.TORN:
            continue
        for name, path, problem in _files(standing, of.root, removed):
            if not path.is_file():
                if must_exist:
                    problems.append(f"{name}: its file {path} is gone")
                continue
            hashed += 1
            if problem:
                problems.append(f"{name}: its file {path} {problem}")
    return hashed, problems


def data_set_offset(path: Path) -> int | None:
    """Return where the data set starts in a DICOM file (PS3.10 7.1), None if it is none."""
    with path.open("rb") as stream:
        head = stream.read(_PREAMBLE + 4 + _GROUP_LENGTH.size)
    if len(head) < _PREAMBLE + 4 + _GROUP_LENGTH.size or head[_PREAMBLE:][:4] != b"DICM":
        return None
    group, element, vr, length, rest = _GROUP_LENGTH.unpack(head[_PREAMBLE + 4 :])
    if (group, element, vr, length) != (0x0002, 0x0000, b"UL", 4):
        return None
    return len(head) + int(rest)


def _files(
    standing: InstanceStanding, root: Path, removed: Container[str]
) -> Iterator[tuple[str, Path, str]]:
    instance = standing.instance
    path = root / instance.path
    name = f"instance {instance.sop_instance_uid}"
    if instance.path not in removed:
        yield name, path, _instance_problem(instance, path) if path.is_file() else ""
    for result in standing.results:
        if result.path in removed:
            continue
        path = root / result.path
        differs = path.is_file() and _hash(path, 0) != result.sha256
        problem = "does not have the bytes that were written" if differs else ""
        yield f"result {result.sop_instance_uid}", path, problem


def _instance_problem(instance: Instance, path: Path) -> str:
    size = path.stat().st_size
    if size != instance.size_bytes:
        return f"has {size} bytes, expected {instance.size_bytes}"
    start = data_set_offset(path)
    if start is None:
        return "is no DICOM file"
    if _hash(path, start) != instance.sha256:
        return "does not have the bytes that were received"
    return ""


def _hash(path: Path, start: int) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()
