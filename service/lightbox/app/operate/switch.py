"""The stop switch: a file per stopped model (or ``all``) in ``data_dir/stop``.

It needs no database, no network and no running service: ``touch data_dir/stop/all`` is enough.
Whoever is about to start something looks whether the file is there.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lightbox.app.questions.off_peak import OffPeak
from lightbox.domain.errors import OperationError, UsageError
from lightbox.domain.jobs import Job
from lightbox.domain.operations import ALL
from lightbox.domain.urgency import Urgency
from lightbox.ports import Handler, Queue
from lightbox.storage.files import Files

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LIFTED = ".lifted"
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Flag:
    """One position of the switch: which model, who put it there and when (seconds since 1970)."""

    model: str
    by: str
    at: float


class Switch:
    """Reads and sets the flags.

    Parameters
    ----------
    root : Path
        The data directory.
    files : Files
        Writes them durably.
    """

    def __init__(self, root: Path, files: Files) -> None:
        self._folder = root / "stop"
        self._files = files

    def prepare(self) -> None:
        """Make the folder, so that it belongs to the service whoever sets a flag later."""
        self._files.make_folder(self._folder)

    def stopped(self) -> frozenset[str]:
        """Return what is stopped: names of models, or ``all``.

        A folder that cannot be read counts as ``all``: a switch that nobody can read is not off.
        """
        try:
            names = os.listdir(self._folder)  # noqa: PTH208  # names only; asked before every chunk
        except FileNotFoundError:
            return frozenset()
        except OSError:
            return frozenset({ALL})
        return frozenset(name for name in names if not name.startswith("."))

    def stops(self, model: str) -> bool:
        """Say whether this model must not run now."""
        stopped = self.stopped()
        return ALL in stopped or model in stopped

    def stop(self, flag: Flag) -> bool:
        """Set a flag; False if it was set already, which leaves it as it is.

        Raises
        ------
        UsageError
            If no model can have this name.
        OperationError
            If the flag cannot be written.
        """
        path = self._folder / _checked(flag.model)
        if path.exists():
            return False
        with _writing(self._folder):
            self._write(path, flag)
        return True

    def resume(self, flag: Flag) -> bool:
        """Take a flag away; False if there is none. Raises as :meth:`stop` does."""
        path = self._folder / _checked(flag.model)
        if not path.exists():
            return False
        with _writing(self._folder):
            self._write(self._folder / f".{flag.model}{_LIFTED}", flag)
            self._files.unlink(path)
            self._files.sync_folder(self._folder)
        return True

    def flags(self) -> tuple[Flag, ...]:
        """Return what is stopped, by whom and since when."""
        return tuple(_read(self._folder / name, name) for name in sorted(self.stopped()))

    def lifted(self) -> tuple[Flag, ...]:
        """Return who took each flag away last."""
        found = sorted(self._folder.glob(f".*{_LIFTED}"))
        return tuple(_read(path, path.name[1 : -len(_LIFTED)]) for path in found)

    def _write(self, path: Path, flag: Flag) -> None:
        self._files.make_folder(self._folder)
        text = json.dumps({"by": flag.by, "at": flag.at}).encode()
        put(self._files, path, text)


def put(files: Files, path: Path, text: bytes) -> None:
    """Write a small file so that it is there whole or not at all, whatever was there before.

    It belongs to the owner of its folder, also where an administrator's ``sudo`` writes it.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    files.unlink(new)
    descriptor = files.create(new)
    try:
        files.write(descriptor, [text])
        files.sync(descriptor)
        owner = path.parent.stat()
        if owner.st_uid != os.geteuid():
            with suppress(PermissionError):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        files.close(descriptor)
    files.rename(new, path)
    files.sync_folder(path.parent)


class SwitchedQueue:
    """A queue that is given nothing to do for models that are stopped.

    Such a job is recorded and waits in the ledger; after ``resume`` it is placed again.

    Parameters
    ----------
    unfinished : callable () → iterable of Job
        All jobs without an end, from the account.
    off_peak : OffPeak or None
        The hours of audits that nobody asked for; the worker holds them back.
    """

    def __init__(
        self,
        queue: Queue,
        switch: Switch,
        unfinished: Callable[[], Iterable[Job]],
        off_peak: OffPeak | None = None,
    ) -> None:
        self._queue = queue
        self._switch = switch
        self._unfinished = unfinished
        self._off_peak = off_peak

    def place(self, job: Job) -> None:
        """Enqueue, unless its model is stopped."""
        if not self._switch.stops(job.model):
            self._queue.place(job)

    def serve(self, handler: Handler) -> None:
        """Start executing jobs."""
        self._queue.serve(handler)

    def cancel(self, job_id: str) -> None:
        """Let it not start, or stop it at its next step."""
        self._queue.cancel(job_id)

    def move(self, job: Job) -> None:
        """Let a job that waits wait in another place; one of a stopped model gets it later."""
        self._queue.move(job)

    def waiting(self) -> Mapping[str, int]:
        """Return how many jobs wait, by urgency; those of stopped models among them.

        The account's lock must be held.
        """
        stopped = self._switch.stopped()
        closed = self._off_peak is not None and not self._off_peak.is_open()
        if not (stopped or closed):
            return self._queue.waiting()
        held = Counter(
            job.urgency.value
            for job in self._unfinished()
            if stopped & {ALL, job.model} or (self._off_peak and self._off_peak.holds(job))
        )
        if ALL in stopped:
            return {urgency.value: held[urgency.value] for urgency in Urgency}
        waiting = self._queue.waiting()
        if closed:  # what the worker has not looked at yet is in both
            audits = Urgency.AUDIT.value
            held[audits] = max(held[audits] - waiting[audits], 0)
        return {urgency.value: held[urgency.value] + waiting[urgency.value] for urgency in Urgency}

    def close(self, seconds: float) -> None:
        """Stop taking jobs."""
        self._queue.close(seconds)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "ask as the user that the service runs as, or make the file there by hand"
        raise OperationError(f"stop switch {folder}", reason, mend) from None


def _checked(model: str) -> str:
    if not _NAME.fullmatch(model):
        raise UsageError(
            f"model {model!r}", "is not a name of a model", "see: lightbox models list"
        )
    return model


def _read(path: Path, model: str) -> Flag:
    """Read who set a flag; one that was made by hand says only when."""
    at = 0.0
    with suppress(OSError):
        at = path.stat().st_mtime
    try:
        said = json.loads(path.read_bytes())
        return Flag(model, str(said["by"]), float(said["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Flag(model, _UNKNOWN, at)
