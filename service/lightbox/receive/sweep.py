"""After a crash: removes what was never acknowledged, keeps what was.

An acknowledged file is read-only (0400). That mark is not synced, so of each file without it the
ledger is asked: a file that holds what its row says is kept and synced, whether its sender was
answered or not; a row whose file does not is taken back (``InstanceTorn``), because its file and
it are synced at the same time and nobody was answered; a file without a row goes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lightbox.domain.errors import LedgerError
from lightbox.domain.events import InstanceStored, InstanceTorn
from lightbox.ports import Ledger
from lightbox.receive.stored_file import holds
from lightbox.storage import naming
from lightbox.storage.files import Files

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did.

    Attributes
    ----------
    removed : int
        Files that held nothing acknowledged, empty ones included.
    kept : int
        Files that the ledger knows and whose mark was lost.
    torn : int
        Rows that were taken back.
    """

    removed: int
    kept: int
    torn: int = 0


def sweep(root: Path, files: Files, ledger: Ledger) -> Swept:
    """Go through the folders of instances. Nobody may be writing there.

    Raises
    ------
    OSError
        If the disk fails.
    LedgerError
        If the ledger cannot be read or written, or has lost its rows: then nothing is removed on
        a guess.
    """
    _must_know(root, ledger)
    unmarked = list(_files(root / naming.INSTANCES, _is_open))
    rows = _rows_of({path.relative_to(root).as_posix() for path in unmarked}, ledger)
    removed = kept = torn = 0
    for path in unmarked:
        row = rows.get(path.relative_to(root).as_posix())
        if row is not None and holds(path, row.instance):
            files.sync_path(path)
            files.seal(path)
            kept += 1
            continue
        if row is not None:
            ledger.record(InstanceTorn.of(row))
            torn += 1
        files.unlink(path)
        removed += 1
    return Swept(removed, kept, torn)


def _must_know(root: Path, ledger: Ledger) -> None:
    """Refuse to begin where instances were acknowledged and no row is left of any."""
    if next(iter(ledger.newest_first()), None) is not None:
        return
    if any(_files(root / naming.INSTANCES, _is_sealed)):
        raise LedgerError(
            "ledger chain receive",
            "holds no row, and acknowledged instances are stored",
            "put a backup of the ledger back, or stop the service and run `lightbox ledger rebuild`",
        )


def _rows_of(paths: set[str], ledger: Ledger) -> dict[str, InstanceStored]:
    """Return the rows of these files; looks back to the day before the oldest file's."""
    found: dict[str, InstanceStored] = {}
    if not paths:
        return found
    since = min(_day_of(path) for path in paths) - _DAY
    for row in ledger.newest_first():
        if row.at < since:
            break
        if isinstance(row.event, InstanceStored) and row.event.instance.path in paths:
            found.setdefault(row.event.instance.path, row.event)
    return found


def _day_of(path: str) -> float:
    try:
        return datetime.strptime(path.split("/")[-2], "%Y%m%d").replace(tzinfo=UTC).timestamp()
    except ValueError:  # no folder of ours: every row may be meant
        return 0.0


def _files(instances: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> Iterator[Path]:
    if not instances.is_dir():
        return
    for day in sorted(each for each in instances.iterdir() if each.is_dir()):
        with os.scandir(day) as entries:  # a million of them in seconds: no Path for each
            found = [entry.path for entry in entries if wanted(entry)]
        yield from map(Path, found)


def _is_open(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISREG(mode) and bool(mode & stat.S_IWUSR)


def _is_sealed(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and not _is_open(entry)
