"""``lightbox ledger rebuild``: damaged or lost chains begin again, and say so.

Of each damaged chain the beginning that proves is kept, a row says what was lost, and what could
be read behind the damage follows. Then every instance that no row of ``receive`` names any more is
taken in again: as other chains know it, else from its own file. The damaged files are kept. What
nobody knows any more, such as the called AE title, is left empty.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from lightbox.app.processes.supervisor import ROLES, lock_data_dir
from lightbox.domain.errors import LedgerError, UnreadableError, UsageError
from lightbox.domain.events import ChainRebuilt, InstanceStored, InstanceTorn
from lightbox.domain.study import Arrival
from lightbox.ledger.bulk import NewChain
from lightbox.ledger.salvage import anchors_in, instances_in, last_known, rewrite, salvage
from lightbox.ledger.tables import chain_file, chain_files
from lightbox.ledger.timeline import LedgerReader
from lightbox.ledger.walk import anchors_seen, walk
from lightbox.ports import Clock
from lightbox.receive.stored_file import read_back
from lightbox.storage import naming
from lightbox.storage.files import Files

SET_ASIDE = "set_aside"
"""Folder in the data directory for what was damaged; a folder in it for each rebuilding."""

REBUILT = "rebuilt"
"""Stands in place of the association that brought an instance, where it was taken in again."""

_INTAKE = "receive"
_NEW = "new"
_LOG = "-wal"
_BESIDE = (_LOG, "-shm")
_WRITABLE = 0o200


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuilding did.

    Attributes
    ----------
    chains : tuple of ChainRebuilt
        The row of each chain that was rebuilt; empty: nothing was damaged.
    unsure : tuple of str
        Stored files, now in :data:`SET_ASIDE`, of which nobody knows whether they are whole.
    """

    chains: tuple[ChainRebuilt, ...] = ()
    unsure: tuple[str, ...] = ()


def rebuild(root: Path, by: str, clock: Clock) -> Rebuilt:
    """Rebuild what is damaged in the ledger of a data directory; its service must be stopped.

    Parameters
    ----------
    root : Path
        The data directory.
    by : str
        Who asked for it; stands in the ledger.

    Raises
    ------
    ConfigurationError
        If a service works in this directory.
    UsageError
        If no service ever did.
    OSError
        If the disk is full or fails.
    """
    if not (root / "ledger").is_dir() and not (root / naming.INSTANCES).is_dir():
        raise UsageError(f"data_dir {root}", "holds no ledger", "name the configuration with -c")
    lock = lock_data_dir(root, clock)
    try:
        return _Rebuilding(root, by, clock).run()
    finally:
        os.close(lock)


class _Rebuilding:
    """One run, with the service stopped."""

    def __init__(self, root: Path, by: str, clock: Clock) -> None:
        self._root = root
        self._ledger = root / "ledger"
        self._by = by
        self._clock = clock
        self._files = Files()
        self._aside = root / SET_ASIDE / str(int(clock.now()))

    def run(self) -> Rebuilt:
        self._files.make_folder(self._ledger)
        with closing(LedgerReader(self._ledger)) as reader:
            seen = anchors_seen(reader)
        names = sorted({*ROLES, *chain_files(self._ledger)})
        found = {chain: self._damage(chain, seen.get(chain, {})) for chain in names}
        damaged = {chain: reason for chain, reason in found.items() if reason}
        if not damaged:
            return Rebuilt()
        self._files.make_folder(self._aside)
        for chain in damaged:
            self._keep(chain)
            for other, digest in anchors_in(chain_file(self._aside, chain), chain):
                seen.setdefault(other, {})[digest] = chain
        again, unsure = self._without_row() if _INTAKE in damaged else ((), ())
        rows = [
            self._remake(chain, reason, seen.get(chain, {}), again if chain == _INTAKE else ())
            for chain, reason in damaged.items()
        ]
        for path in unsure:
            self._files.rename(self._root / path, self._aside / Path(path).name)
        shutil.rmtree(self._aside / _NEW)
        return Rebuilt(tuple(rows), unsure)

    def _damage(self, chain: str, seen: Mapping[str, str]) -> str:
        """Say what is wrong with the file of a chain, "" for nothing."""
        rows = 0
        if chain_file(self._ledger, chain).exists():
            found = walk(self._ledger, chain, seen)
            rows = found.rows
            problems = found.problems or self._bad_pages(chain)
            if not found.is_readable:
                return "could not be read"
            if rows and problems:
                return f"was damaged ({problems[0]})"
        is_missed = bool(seen) or (chain == _INTAKE and any(map(self._is_sealed, self._stored())))
        return "" if rows or not is_missed else "was lost"

    def _bad_pages(self, chain: str) -> Sequence[str]:
        with closing(LedgerReader(self._ledger)) as reader:
            try:
                return reader.integrity(chain)
            except LedgerError as error:
                return (str(error),)

    def _keep(self, chain: str) -> None:
        """Copy a damaged chain's file and log to where they are looked through, and stay."""
        path = chain_file(self._ledger, chain)
        for name in (path.name, f"{path.name}{_LOG}"):
            if (self._ledger / name).exists():
                shutil.copyfile(self._ledger / name, self._aside / name)
                (self._aside / name).chmod(0o600)
                self._files.sync_path(self._aside / name)
        self._files.sync_folder(self._aside)

    def _without_row(self) -> tuple[Sequence[InstanceStored], tuple[str, ...]]:
        """Return what ``receive`` must be told again, and the files of which nobody is sure."""
        named = {each.path for each, _ in instances_in(chain_file(self._aside, _INTAKE), _INTAKE)}
        again: dict[str, InstanceStored] = {}
        for chain in chain_files(self._ledger):
            kept = chain_file(self._aside, chain)
            file = kept if kept.exists() else chain_file(self._ledger, chain)
            for instance, at in instances_in(file, chain) if chain != _INTAKE else ():
                if instance.path not in named:
                    again[instance.path] = InstanceStored(instance, _arrival(at))
        unsure = []
        for path in sorted(self._stored() - named - set(again)):
            try:
                again[path] = self._from_file(path)
            except UnreadableError:
                unsure.append(path)
        last = sorted(again.values(), key=lambda each: (self._root / each.instance.path).exists())
        return last, tuple(unsure)  # of two under one name the one whose file is there is the newer

    def _from_file(self, path: str) -> InstanceStored:
        if not self._is_sealed(path):
            reason = "was never acknowledged, as far as its mark says"
            raise UnreadableError(path, reason, "its sender has it still")
        said = read_back(self._root, path)
        received_at = (self._root / path).stat().st_mtime
        return InstanceStored(said.instance, _arrival(received_at, said.calling_ae))

    def _stored(self) -> set[str]:
        """Return the paths of all files of instances that hold something."""
        files = (self._root / naming.INSTANCES).glob("*/*")
        return {f.relative_to(self._root).as_posix() for f in files if f.stat().st_size}

    def _is_sealed(self, path: str) -> bool:
        return not (self._root / path).stat().st_mode & _WRITABLE

    def _remake(
        self, chain: str, reason: str, seen: Mapping[str, str], again: Sequence[InstanceStored]
    ) -> ChainRebuilt:
        """Write a chain anew and put it in the place of the damaged one."""
        kept, path = chain_file(self._aside, chain), chain_file(self._ledger, chain)
        where = self._aside.relative_to(self._root).as_posix()
        digest = hashlib.sha256(kept.read_bytes()).hexdigest() if kept.exists() else ""
        found = salvage(kept, chain, seen, last_known(self._ledger, chain))
        now = self._clock.now()
        row = ChainRebuilt(
            chain, reason, found.behind, len(again), found.lost, found.gone,
            where if digest else "", digest, self._by, now,
        )  # fmt: skip
        new = NewChain(self._aside / _NEW, chain)
        rewrite(kept, new, chain, row)
        new.extend([(now, event) for event in _unused(again, new)])
        new.close()
        made = chain_file(self._aside / _NEW, chain)
        self._files.sync_path(made)
        for end in _BESIDE:  # a log of the old file must never meet the new one
            self._files.unlink(path.with_name(f"{path.name}{end}"))
        self._files.rename(made, path)
        self._files.sync_folder(self._ledger)
        return row


def _arrival(received_at: float, calling_ae: str = "") -> Arrival:
    return Arrival(received_at, calling_ae, "", "", REBUILT)


def _unused(again: Sequence[InstanceStored], new: NewChain) -> Iterator[InstanceStored]:
    """Yield the same with keys that no row has: stored under the same name for another time."""
    told: set[str] = set()
    for stored in again:
        event = stored
        while event.key in told or new.knows(event.key) or new.knows(InstanceTorn.of(event).key):
            event = replace(event, again=event.again + 1)
        told.add(event.key)
        yield event
