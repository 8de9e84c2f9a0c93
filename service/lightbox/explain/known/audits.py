"""Finished audits by what they depend on."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lightbox.domain.attribution import Attribution
from lightbox.explain.known.attribution_file import attribution_bytes, attribution_from
from lightbox.ports import Clock, Storage

_TIDY_EVERY = 3600.0

_log = logging.getLogger(__name__)


class KnownAudits:
    """Keeps the attributions of finished audits, and gives them to the next one that is the same.

    Parameters
    ----------
    storage : Storage
        Writes the entries whole or not at all.
    folder : Path
        Where its root is.
    clock : Clock
        For their age.
    """

    def __init__(self, storage: Storage, folder: Path, clock: Clock) -> None:
        self._storage = storage
        self._folder = folder
        self._clock = clock
        self._tidy_at = 0.0

    def take(self, identity: str, job_id: str) -> Attribution | None:
        """Return the attribution of an audit of this identity, naming the job that computed it.

        A job that took one takes the same again, whatever became of the entry since. The values
        v(S) of the origin become those of the job too, for ``lightbox replay``.
        """
        own = f"{job_id}.taken"
        for name in (own, _entry(identity)):
            try:
                found, origin = attribution_from(self._storage.read(name))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                _log.warning("known audit %s is left alone: %s", name, error)
                continue
            if origin == job_id:  # our own, from before a crash: nothing was taken
                return found
            if name != own:
                self._link(_entry(identity), own)
                self._link(f"{origin}.values", f"{job_id}.values")
            return replace(found, taken_from=origin, seconds=0.0)
        return None

    def keep(self, identity: str, job_id: str, attribution: Attribution) -> None:
        """Remember what a job computed; a full disk makes it forget, nothing else."""
        if attribution.taken_from:
            return
        try:
            self._storage.put(_entry(identity), attribution_bytes(attribution, job_id))
        except OSError as error:
            _log.warning("an audit is not remembered: %s", error.strerror)

    def tidy(self, older_than: float) -> None:
        """Forget what is too old, once an hour; cheap to ask at any time."""
        now = self._clock.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_EVERY
            self.forget(older_than)

    def forget(self, older_than: float) -> int:
        """Delete entries that were made so many seconds ago or more; return how many."""
        before, gone = self._clock.now() - older_than, 0
        for path in (*self._folder.glob("*.known"), *self._folder.glob("*.taken")):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime <= before:
                    self._storage.delete(path.name)
                    gone += 1
        return gone

    def _link(self, name: str, other: str) -> None:
        with suppress(OSError):  # it is there already, or the origin is gone: only replay is slower
            os.link(self._folder / name, self._folder / other)


def _entry(identity: str) -> str:
    return f"{identity}.known"
