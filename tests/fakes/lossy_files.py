"""A disk that loses its power: whatever was not synced is gone, or torn."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

from lightbox.storage.files import Files, Operation


class PowerLossError(OSError):
    """The power is gone: whatever is tried, nothing happens any more."""


class _Countdown:
    def __init__(self, operations: int) -> None:
        self.left = operations

    def strike(self, operation: Operation) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerLossError(errno.EIO, f"power loss before {operation}")


class LossyFiles(Files):
    """Remembers what is synced; ``lose`` leaves a folder as a disk may be after a power loss.

    Parameters
    ----------
    operations : int
        So many are done, then the power is gone for good.
    """

    def __init__(self, operations: int) -> None:
        super().__init__(_Countdown(operations))
        self._synced_bytes: dict[int, int] = {}  # inode → length that is on the disk
        self._entries: dict[Path, str] = {}  # names that are not on the disk yet
        self._touched: dict[int, Path] = {}

    def create(self, path: Path | str) -> int:
        descriptor, path = super().create(path), Path(path)
        inode = os.fstat(descriptor).st_ino
        self._synced_bytes[inode] = 0
        self._touched[inode] = path
        self._entries[path] = "created"
        return descriptor

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        found = os.fstat(descriptor)
        self._synced_bytes[found.st_ino] = found.st_size

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        for path in [p for p in self._entries if p.parent == folder]:
            del self._entries[path]

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._touched[new.stat().st_ino] = new
        self._entries[new] = "renamed"
        self._entries.pop(old, None)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._entries.pop(path, None)

    def lose(self, chance: random.Random) -> None:
        """Make the folder what a restart may find: each unsynced thing is there, torn or gone."""
        for inode, path in self._touched.items():
            if not path.exists():
                continue
            path.chmod(0o600)  # marks are never synced
            synced, size = self._synced_bytes.get(inode, 0), path.stat().st_size
            if size > synced:
                os.truncate(path, chance.randint(synced, size))
                if chance.random() < 0.5 and path.stat().st_size > synced:
                    with path.open("r+b") as file:
                        file.seek(synced)
                        file.write(bytes(path.stat().st_size - synced))
            if path in self._entries and chance.random() < 0.5:
                path.unlink()
