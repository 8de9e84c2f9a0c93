"""The Storage port on a folder of a disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightbox.storage.files import Files
from lightbox.storage.naming import token
from lightbox.storage.reserve import Reserve

_STAGED = ".part"
"""End of the name of a file that has not its own name yet."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A synced file that has not its own name yet."""

    files: Files
    path: Path
    final: Path

    def publish(self) -> None:
        """Give it its name; another file of that name is replaced.

        Raises
        ------
        OSError
            If the disk fails.
        """
        try:
            self.files.rename(self.path, self.final)
        except OSError:
            self.discard()
            raise
        self.files.sync_folder(self.final.parent)

    def discard(self) -> None:
        """Remove it; nothing happens where it has its name."""
        self.files.unlink(self.path)


class FolderStorage:
    """Keeps bytes in files under a root.

    Parameters
    ----------
    root : Path
        The data directory.
    files : Files
        The disk.
    """

    def __init__(self, root: Path, files: Files) -> None:
        self._root = root.resolve()
        self._files = files
        self._reserve = Reserve(self._root, 0)
        files.make_folder(self._root)

    def put(self, path: str, data: bytes) -> None:
        """Write durably under a name that shows up whole or not at all.

        Raises
        ------
        OSError
            If the disk is full or fails; nothing is left behind then.
        """
        self.stage(path, data).publish()

    def stage(self, path: str, data: bytes) -> StagedFile:
        """Write beside the name under which it will show up.

        Raises
        ------
        OSError
            If the disk is full or fails; nothing is left behind then.
        """
        final = self._within(path)
        self._files.make_folder(final.parent)
        staged = StagedFile(self._files, final.with_name(f"{token()}{_STAGED}"), final)
        try:
            descriptor = self._files.create(staged.path)
            try:
                self._files.write(descriptor, [data])
                self._files.sync(descriptor)
            finally:
                self._files.close(descriptor)
        except OSError:
            staged.discard()
            raise
        return staged

    def tidy(self, folder: str) -> None:
        """Remove what a killed process had staged in a folder; nobody may be writing there now."""
        for left in self._within(folder).rglob(f"*{_STAGED}"):
            self._files.unlink(left)

    def read(self, path: str) -> bytes:
        """Return all bytes.

        Raises
        ------
        FileNotFoundError
            If nothing is stored under this path.
        """
        return self._within(path).read_bytes()

    def delete(self, path: str) -> None:
        """Remove durably; nothing happens where nothing is."""
        final = self._within(path)
        if final.exists():
            self._files.unlink(final)
            self._files.sync_folder(final.parent)

    def free_bytes(self) -> int:
        """Return what can still be written."""
        return self._reserve.free_bytes()

    def _within(self, path: str) -> Path:
        final = (self._root / path).resolve()
        if not final.is_relative_to(self._root) or final == self._root:
            raise ValueError(f"{path!r} leads out of the data directory")
        return final
