"""Free space: a reserve is kept for running work, the ledger and delivery."""

from __future__ import annotations

import os
from pathlib import Path

_INODES = 1024
"""Files that can still be made when we stop taking instances."""


class Reserve:
    """Says whether there is room for more.

    Parameters
    ----------
    root : Path
        Any folder on the disk in question.
    reserve_bytes : int
        Free bytes under which nothing more is taken.
    """

    def __init__(self, root: Path, reserve_bytes: int) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes

    def configure(self, reserve_bytes: int) -> None:
        """Keep another reserve from now on."""
        self._reserve_bytes = reserve_bytes

    def free_bytes(self) -> int:
        """Return what an ordinary user can still write."""
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def ok(self) -> bool:
        """Say whether bytes and inodes are left above the reserve; heals by itself."""
        disk = os.statvfs(self._root)
        if disk.f_files and disk.f_favail < _INODES:  # some file systems count no inodes
            return False
        return disk.f_bavail * disk.f_frsize > self._reserve_bytes
