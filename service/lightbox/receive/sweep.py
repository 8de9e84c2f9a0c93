"""After a crash: removes what was never acknowledged, keeps what was.

An acknowledged file is read-only (0400). That mark is not synced, so a file without it is looked
up in the ledger by its content: the ledger is the truth.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from lightbox.domain.events import InstanceStored
from lightbox.ports import Ledger
from lightbox.receive.stored_file import data_set_sha256
from lightbox.storage import naming
from lightbox.storage.files import Files


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did.

    Attributes
    ----------
    removed : int
        Files that held nothing acknowledged, empty ones included.
    kept : int
        Files that the ledger knows and whose mark was lost.
    """

    removed: int
    kept: int


def sweep(root: Path, files: Files, ledger: Ledger) -> Swept:
    """Go through the folders of instances. Nobody may be writing there.

    Raises
    ------
    OSError
        If the disk fails.
    LedgerError
        If the ledger cannot be read: then nothing is removed on a guess.
    """
    removed = kept = 0
    for path in _without_mark(root / naming.INSTANCES):
        if _is_recorded(path, root, ledger):
            files.seal(path)
            kept += 1
        else:
            files.unlink(path)
            removed += 1
    return Swept(removed, kept)


def _without_mark(instances: Path) -> Iterator[Path]:
    if not instances.is_dir():
        return
    for day in sorted(each for each in instances.iterdir() if each.is_dir()):
        with os.scandir(day) as entries:  # a million of them in seconds: no Path for each
            found = [entry.path for entry in entries if _is_open(entry)]
        yield from map(Path, found)


def _is_open(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISREG(mode) and bool(mode & stat.S_IWUSR)


def _is_recorded(path: Path, root: Path, ledger: Ledger) -> bool:
    sha256 = data_set_sha256(path)
    if sha256 is None:
        return False
    sop_instance_uid = _sop_instance_uid(path)
    row = ledger.find(f"instance_stored:{sop_instance_uid}:{sha256}")
    if row is None or not isinstance(row.event, InstanceStored):
        return False
    return row.event.instance.path == path.relative_to(root).as_posix()


def _sop_instance_uid(path: Path) -> str:
    try:
        return str(read_file_meta_info(path).get("MediaStorageSOPInstanceUID", ""))
    except Exception:  # noqa: BLE001  # torn: no row has it
        return ""
