"""The only place that opens for writing, writes, syncs, renames and unlinks.

So there is one place where a test, or ``lightbox drill``, can make the disk fail.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

Part: TypeAlias = bytes | bytearray | memoryview
"""Something that can be written."""

ALIGNED = 4096
"""What memory, position and length of a write past the page cache are a multiple of."""

_WRITE_AT_MOST = min(1024, os.sysconf("SC_IOV_MAX"))
_SYNC_FILE_RANGE_WRITE = 2
_KNOWS_NO_WAY = (errno.EINVAL, errno.EOPNOTSUPP)
"""What a file system says that cannot write past the cache."""


class Operation(StrEnum):
    """What can be made to fail, by name."""

    CREATE = "create"
    WRITE = "write"
    SYNC = "sync"
    SYNC_FOLDER = "sync_folder"
    RENAME = "rename"
    UNLINK = "unlink"


class Fault(Protocol):
    """Something that goes wrong: see ``faults.py``."""

    def strike(self, operation: Operation) -> None:
        """Be told of an operation just before it is done; raise, wait, or kill the process."""
        ...


class Files:
    """The disk, with an optional fault in it.

    Parameters
    ----------
    fault : Fault or None
        None, the normal case, costs one comparison per call.
    """

    def __init__(self, fault: Fault | None = None) -> None:
        self._fault = fault
        self._past_cache = True
        self._sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)

    def _about_to(self, operation: Operation) -> None:
        if self._fault is not None:
            self._fault.strike(operation)

    def make_folder(self, folder: Path) -> None:
        """Make a folder and its missing parents, mode 0700, and sync the entries."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for made in reversed(missing):
            with suppress(FileExistsError):
                made.mkdir(mode=0o700)
            self.sync_folder(made.parent)

    def create(self, path: Path | str) -> int:
        """Open a new file for writing, mode 0600, and return its descriptor."""
        self._about_to(Operation.CREATE)
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, parts: Sequence[Part]) -> int:
        """Write all parts, in order; return how many bytes that was.

        Raises
        ------
        OSError
            If the disk is full or fails. Some of the bytes may have been written.
        """
        self._about_to(Operation.WRITE)
        return self._write(descriptor, parts)

    def write_past_cache(self, descriptor: int, block: memoryview) -> None:
        """Write whole blocks to the disk itself, where the file system can; open(2), O_DIRECT.

        They are as little synced as by :meth:`write`, which comes after :meth:`use_cache` only.

        Parameters
        ----------
        block : memoryview
            Its address, its length and the file's position are multiples of ``ALIGNED``.

        Raises
        ------
        OSError
            If the disk is full or fails. Some of the bytes may have been written.
        """
        self._about_to(Operation.WRITE)
        done = self._write_directly(descriptor, block) if self._past_cache else 0
        if done < len(block):
            self.use_cache(descriptor)
            self._write(descriptor, [block[done:]])
            self._start_writing_back(descriptor)

    def _write_directly(self, descriptor: int, block: memoryview) -> int:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_DIRECT)
            return os.write(descriptor, block)
        except OSError as error:
            if error.errno not in _KNOWS_NO_WAY:
                raise
            self._past_cache = False  # this file system knows no way past the cache
            return 0

    def use_cache(self, descriptor: int) -> None:
        """Write through the cache from now on, after :meth:`write_past_cache`."""
        fcntl.fcntl(descriptor, fcntl.F_SETFL, 0)

    def _write(self, descriptor: int, parts: Sequence[Part]) -> int:
        total = 0
        left = [memoryview(part).cast("B") for part in parts]
        while left:
            done = os.writev(descriptor, left[:_WRITE_AT_MOST])
            total += done
            while left and done >= len(left[0]):
                done -= len(left.pop(0))
            if done:
                left[0] = left[0][done:]
        return total

    def _start_writing_back(self, descriptor: int) -> None:
        """Let the kernel begin to write what it has of this file, and wait for nothing."""
        if self._sync_file_range is not None:
            start, to_the_end = ctypes.c_int64(0), ctypes.c_int64(0)
            self._sync_file_range(descriptor, start, to_the_end, _SYNC_FILE_RANGE_WRITE)

    def sync(self, descriptor: int) -> None:
        """Return when the file's bytes and length are on the disk.

        Raises
        ------
        OSError
            If they are not. A second try would lie: the kernel forgets what it could not write.
        """
        self._about_to(Operation.SYNC)
        os.fsync(descriptor)  # noqa: TID251  # this is the place

    def sync_path(self, path: Path) -> None:
        """Sync a file that is not open."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Return when the folder's entries (names) are on the disk."""
        self._about_to(Operation.SYNC_FOLDER)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)  # noqa: TID251  # this is the place
        finally:
            os.close(descriptor)

    def seal(self, file: int | Path) -> None:
        """Make a file read-only: a mark, not synced, that its content is acknowledged."""
        os.chmod(file, 0o400)  # noqa: PTH101  # descriptors too

    def close(self, descriptor: int) -> None:
        """Close."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Rename, replacing what is there; durable only after the folder is synced."""
        self._about_to(Operation.RENAME)
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """Remove; nothing happens where nothing is."""
        self._about_to(Operation.UNLINK)
        with suppress(FileNotFoundError):
            path.unlink()
