"""The Storage port on a folder of a disk."""

from __future__ import annotations

from pathlib import Path

from lightbox.storage.files import Files
from lightbox.storage.naming import token
from lightbox.storage.reserve import Reserve


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
        final = self._within(path)
        self._files.make_folder(final.parent)
        temporary = final.with_name(f"{token()}.part")
        try:
            descriptor = self._files.create(temporary)
            try:
                self._files.write(descriptor, [data])
                self._files.sync(descriptor)
            finally:
                self._files.close(descriptor)
            self._files.rename(temporary, final)
        except OSError:
            self._files.unlink(temporary)
            raise
        self._files.sync_folder(final.parent)

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
