"""Locks on files, which the operating system lets go with the process."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lightbox.domain.errors import ConfigurationError


def claim(executor_id: str, folder: Path) -> IO[str]:
    """Lock this identity; it is free again when the file is closed or the process ends.

    Raises
    ------
    ConfigurationError
        If another process has it: two with one identity would run one job twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"executor-{executor_id}.lock"
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ConfigurationError(
            f"executor {executor_id}", f"is in use ({path})", "stop the other process"
        ) from None
    return lock


@contextmanager
def alone(store: Path) -> Iterator[None]:
    """Hold off other processes while this one makes the store; makes its folder too."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_suffix(".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
