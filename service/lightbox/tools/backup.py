"""A copy of a data directory that proves, taken beside the running service.

The chains are copied as they were at one moment, then every file that their rows name: a file is
on disk before its row is, so nothing can be missing. What can be made again (the queue, the read
model, files prepared for instances to come) is left out. A copy into the same place adds what is
new. The copy is a data directory: to restore, put it where ``data_dir`` points and start.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.errors import UsageError
from lightbox.domain.events import FilesRemoved, InstanceStored, ResultsWritten
from lightbox.ledger.prove import Proof, check
from lightbox.ledger.tables import copy_chains
from lightbox.ledger.timeline import LedgerReader
from lightbox.storage.files import Files

_PART = ".part"
_MADE_AGAIN = ("queue", "lock", "executor-", "condition")
"""Beginnings of what the service makes anew, in the root of the data directory."""
_FOLDERS = ("jobs", "stop")
"""Copied whole: values of audits, and what a person has stopped."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup did.

    Attributes
    ----------
    files : int
        That were copied now; those that were there are not counted.
    size_bytes : int
        Of these.
    proof : Proof
        Of the copy: its chains recomputed, each of its files hashed again.
    """

    folder: Path
    files: int
    size_bytes: int
    proof: Proof


def back_up(
    root: Path,
    to: Path,
    destinations: Collection[str],
    told: Callable[[Path], None] = lambda _: None,
    *,
    kept_since: float = 0.0,
) -> Backup:
    """Copy a data directory and prove the copy.

    Parameters
    ----------
    root : Path
        The data directory; a service may be at work in it.
    to : Path
        Folder for the copy; made where it is missing.
    destinations : collection of str
        Names of those that get results.
    told : callable (Path) → None
        Called before each file is copied.
    kept_since : float
        Seconds since 1970; what arrived earlier and is settled may have been removed by retention.

    Raises
    ------
    UsageError
        If there is no ledger, or one folder is inside of the other.
    OSError
        If something cannot be read or written.
    """
    root, to = root.resolve(), to.resolve()
    if not (root / "ledger").is_dir():
        raise UsageError(str(root), "has no ledger", "name the configuration of the service (-c)")
    if root == to or root in to.parents or to in root.parents:
        raise UsageError(str(to), f"and the data directory {root} overlap", "name another folder")
    copy = _Copy(root, to, told)
    proof = copy.make(destinations, kept_since)
    for _ in range(_TRIES - 1):
        if proof.ok:
            break
        proof = copy.make(destinations, kept_since)  # rows that came between two chains
    return Backup(to, copy.count, copy.size_bytes, proof)


class _Copy:
    """One copy in the making."""

    def __init__(self, root: Path, to: Path, told: Callable[[Path], None]) -> None:
        self._root = root
        self._to = to
        self._told = told
        self._files = Files()
        self.count = 0
        self.size_bytes = 0

    def make(self, destinations: Collection[str], kept_since: float) -> Proof:
        self._files.make_folder(self._to / "ledger")
        for chain, part in copy_chains(self._root / "ledger", self._to / "ledger", _PART).items():
            self._told(self._root / "ledger" / chain)
            self._finish(part)
        self._forget()
        for path in self._named():
            if not (self._to / path).exists() and (self._root / path).is_file():
                with suppress(
                    FileNotFoundError
                ):  # gone meanwhile; if it may not be, the proof says so
                    self._add(path)
        return check(self._to / "ledger", self._to, destinations, kept_since)

    def _forget(self) -> None:
        """Take out of the copy what is no longer there: a stop that was lifted, values used up."""
        for path in [p for name in _FOLDERS for p in (self._to / name).rglob("*")]:
            if path.is_file() and not (self._root / path.relative_to(self._to)).exists():
                self._files.unlink(path)

    def _drop(self, removed: FilesRemoved) -> None:
        """Take out of the copy what retention or an erasure removed since it was copied."""
        for file in removed.files:
            if (self._to / file.path).exists() and not (self._root / file.path).exists():
                self._files.unlink(self._to / file.path)

    def _named(self) -> Iterator[Path]:
        """Yield what is to be copied, relative to the root."""
        for recorded in LedgerReader(self._to / "ledger").stream():
            event = recorded.event
            if isinstance(event, InstanceStored):
                yield Path(event.instance.path)
            elif isinstance(event, FilesRemoved):
                self._drop(event)
            elif isinstance(event, ResultsWritten):
                yield from (Path(p) for r in event.results for p in (r.path, r.preview) if p)
        beside = (p for p in self._root.iterdir() if not p.name.startswith(_MADE_AGAIN))
        whole = (p for name in _FOLDERS for p in (self._root / name).rglob("*"))
        for path in (*beside, *whole):
            if path.is_file():
                (self._to / path.relative_to(self._root)).unlink(missing_ok=True)  # it may change
                yield path.relative_to(self._root)

    def _add(self, path: Path) -> None:
        self._told(self._root / path)
        target = self._to / path
        self._files.make_folder(target.parent)
        part = target.with_name(target.name + _PART)
        shutil.copyfile(self._root / path, part)
        part.chmod(0o600)
        self._finish(part)
        self.count += 1
        self.size_bytes += target.stat().st_size

    def _finish(self, part: Path) -> None:
        self._files.sync_path(part)
        self._files.rename(part, part.with_name(part.name.removesuffix(_PART)))
        self._files.sync_folder(part.parent)
