"""What the worker has to say of its own condition: a small file, so that it outlives the worker.

Health, metrics and the doctor read it; nothing that is done depends on it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from lightbox.domain.condition import Condition
from lightbox.ports import Clock, Storage

_log = logging.getLogger(__name__)
_FILE = "condition.json"
_ADAPTER: TypeAdapter[Condition] = TypeAdapter(Condition)
_Of = Literal["devices", "bounds", "slow", "eased", "out_of_service", "deferred", "decoders"]


def condition_of(root: Path) -> Condition:
    """Return what the worker of this data directory said last; nothing where it said nothing."""
    try:
        return _ADAPTER.validate_json((root / _FILE).read_bytes())
    except (OSError, ValidationError):
        return Condition()


class Notices:
    """Written by the worker, one process.

    Parameters
    ----------
    root : Path
        The data directory.
    storage : Storage
        The same.
    clock : Clock
        Says when.
    """

    def __init__(self, root: Path, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._lock = threading.Lock()
        before = condition_of(root)
        self._now = Condition(lost=before.lost, lost_at=before.lost_at, replaced=before.replaced)

    def say(self, what: _Of, model: str, words: str | float) -> None:
        """Note something of a model; "" takes it back."""
        with self._lock:
            now = _ADAPTER.dump_python(self._now)
            if words == "":
                now[what].pop(model, None)
            else:
                now[what][model] = words
            changed = _ADAPTER.validate_python(now)
            if changed != self._now:
                self._now = changed
                self._write()

    def lost(self, why: str) -> None:
        """Note that this process is about to be replaced."""
        with self._lock:
            self._now = replace(
                self._now, lost=why, lost_at=self._clock.now(), replaced=self._now.replaced + 1
            )
            self._write()

    def _write(self) -> None:
        try:
            self._storage.put(_FILE, _ADAPTER.dump_json(self._now))
        except OSError as error:  # it is told in the log, too
            _log.warning("%s: not written, %s", _FILE, error.strerror)
