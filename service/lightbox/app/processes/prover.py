"""A proof of the ledger in a process of its own: it may take minutes and must slow nobody.

The process is started afresh (not forked), has the lowest priority, and ends with the service.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lightbox.domain.errors import LightboxError
from lightbox.ledger.prove import prove
from lightbox.ledger.report import proof_json
from lightbox.ledger.timeline import LedgerReader
from lightbox.ports import Clock

_NICE = 19
_START = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Proving:
    """A proof of the ledger: running, done, or neither.

    Attributes
    ----------
    rows, of : int
        Rows recomputed so far, and about how many there are.
    at : float
        When it was begun, seconds since 1970; 0: never since the start.
    seconds : float
        How long it took or has taken.
    proof : mapping or None
        As in ``ledger prove --json``, when it is done.
    trouble : str
        Why there is none although it ended, or "".
    """

    is_running: bool = False
    rows: int = 0
    of: int = 0
    at: float = 0.0
    seconds: float = 0.0
    proof: Mapping[str, Any] | None = None
    trouble: str = ""


class Prover:
    """Runs one proof at a time and remembers the newest: for a person who asks, and day by day.

    Parameters
    ----------
    folder : Path
        Holds the chains.
    destinations : callable
        Returns the names of those that get results now.
    """

    def __init__(
        self, folder: Path, destinations: Callable[[], Sequence[str]], clock: Clock
    ) -> None:
        self._folder = folder
        self._destinations = destinations
        self._clock = clock
        self._lock = threading.Lock()
        self._now = Proving()
        self._began = 0.0

    def state(self) -> Proving:
        """Return how far the proof has come, or the newest one."""
        with self._lock:
            if self._now.is_running:
                return replace(self._now, seconds=self._clock.monotonic() - self._began)
            return self._now

    def start(self) -> None:
        """Begin, unless one runs; what cannot be begun has ended with its trouble."""
        with self._lock:
            if self._now.is_running:
                return
            self._began = self._clock.monotonic()
            try:
                self._now = Proving(is_running=True, of=self.rows(), at=self._clock.now())
                ours = self._begun()
            except (LightboxError, OSError) as error:
                self._now = Proving(at=self._clock.now(), trouble=str(error))
                return
        threading.Thread(target=self._follow, args=(ours,), name="proof", daemon=True).start()

    def _begun(self) -> Connection:
        """Start the process that proves; return what it speaks into."""
        ours, theirs = _START.Pipe(duplex=False)
        with theirs:
            _START.Process(
                target=_prove, args=(self._folder, tuple(self._destinations()), theirs), daemon=True
            ).start()
        return ours

    def rows(self) -> int:
        """Return how many rows all chains state to have."""
        reader = LedgerReader(self._folder)
        try:
            return sum(reader.stated_head(chain)[0] for chain in reader.chains())
        finally:
            reader.close()

    def _follow(self, ours: Connection) -> None:
        """Take in what the process says until it has said all or has died."""
        with ours:
            try:
                while isinstance(said := ours.recv(), int):
                    with self._lock:
                        self._now = replace(self._now, rows=said)
            except EOFError:
                said = "the process that proved was ended from outside; start the proof again"
        with self._lock:
            took = self._clock.monotonic() - self._began
            done = replace(self._now, is_running=False, seconds=took)
            if isinstance(said, Mapping):
                self._now = replace(done, proof=said)
            else:
                self._now = replace(done, trouble=str(said))


def _prove(folder: Path, destinations: tuple[str, ...], told: Connection) -> None:
    """Prove in this process; say the rows on the way, at the end the proof or what is wrong."""
    os.nice(_NICE)
    try:
        told.send(proof_json(prove(folder, destinations, told.send)))
    except LightboxError as error:
        told.send(str(error))
