"""Where a command is to write: looked at before the work that would be lost."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from lightbox.domain.errors import UsageError


def writable(file: Path | None) -> None:
    """Refuse a file that could not be written, before the work that would be lost.

    Raises
    ------
    UsageError
        If its folder is missing, or may not be written to.
    """
    if file is None:
        return
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(str(file), f"the folder {folder} does not exist", "make it first")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise UsageError(str(file), "cannot be written", "name another file")


def folder(path: Path) -> None:
    """Make a folder for what comes, before the work that would be lost.

    Raises
    ------
    UsageError
        If it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path):
            pass
    except OSError as error:
        raise UsageError(str(path), error.strerror or str(error), "name another folder") from error
