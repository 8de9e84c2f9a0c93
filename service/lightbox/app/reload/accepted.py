"""The configuration that is in force, in the data directory: every process of a service reads it.

So a process that is started again in the middle of an edit of the file comes back with what the
others have, and what cannot change while they run stays as it was until the whole service starts
anew. The file is as secret as the configuration and is readable for its owner only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from lightbox.app.operate.switch import put
from lightbox.settings import Loaded, read, tree_of
from lightbox.storage.files import Files

_NAME = "configuration.json"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A configuration as its file had it.

    Attributes
    ----------
    file : str
        Where it came from, "" for none; relative paths in it are relative to its folder.
    tree : mapping of str to object
        Its tables; the environment is not in it, every process has the same one.
    by : str
        Who had it taken up.
    at : float
        When, seconds since 1970.
    """

    file: str
    tree: Mapping[str, object]
    by: str
    at: float

    @property
    def digest(self) -> str:
        """SHA-256 of the tables."""
        return hashlib.sha256(json.dumps(self.tree, sort_keys=True).encode()).hexdigest()

    def loaded(self, environ: Mapping[str, str]) -> Loaded:
        """Return the settings.

        Raises
        ------
        ConfigurationError
            Naming the key, what was found and what was expected.
        """
        return read(self.file or None, environ, tree=deepcopy(dict(self.tree)))


def from_file(file: str, by: str, at: float) -> Accepted:
    """Return what a configuration file says now.

    Raises
    ------
    ConfigurationError
        If it cannot be read as TOML.
    """
    return Accepted(file, tree_of(file) if file else {}, by, at)


def keep(root: Path, accepted: Accepted, files: Files) -> None:
    """Write down what is in force, durably, whole or not at all."""
    values = {
        "file": accepted.file,
        "tree": accepted.tree,
        "by": accepted.by,
        "at": accepted.at,
    }
    put(files, root / _NAME, json.dumps(values).encode())


def kept(root: Path) -> Accepted | None:
    """Return what is in force; None where nothing was written down."""
    try:
        said = json.loads((root / _NAME).read_bytes())
        return Accepted(str(said["file"]), said["tree"], str(said["by"]), float(said["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Watch:
    """Notices that another configuration is in force.

    Parameters
    ----------
    root : Path
        The data directory.
    take : callable
        Is given each new one, once.
    """

    def __init__(self, root: Path, take: Callable[[Accepted], None]) -> None:
        self._path = root / _NAME
        self._root = root
        self._take = take
        self._seen = (0, 0)  # so that what came while this process started is taken up too

    def look(self) -> None:
        """Look once; it costs one call of the system where nothing is new."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        accepted = kept(self._root)
        if accepted is not None:
            self._take(accepted)

    def _stamp(self) -> tuple[int, int]:
        with suppress(OSError):
            found = self._path.stat()
            return found.st_ino, found.st_mtime_ns
        return 0, 0
