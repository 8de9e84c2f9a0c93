"""Files made in advance: empty, named by us, their folder synced.

An instance that takes one needs neither a rename nor a sync of the folder: one wait less before
its sender is answered. Whatever is not used is removed at the end, or swept at the next start.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lightbox.ports import Clock
from lightbox.storage import naming
from lightbox.storage.files import Files

_BATCH = 128
_LOW = 64


@dataclass(frozen=True, slots=True)
class Blank:
    """An empty file, open for writing; its name is on the disk already.

    Attributes
    ----------
    path : str
        Relative to the root.
    day : str
        Folder of the day it was made for.
    """

    path: str
    day: str
    descriptor: int


class Pool:
    """Keeps some blanks ready.

    Parameters
    ----------
    root : Path
        The data directory.
    files : Files
        The disk.
    clock : Clock
        Gives the day.
    """

    def __init__(self, root: Path, files: Files, clock: Clock) -> None:
        self._root = root
        self._files = files
        self._clock = clock
        self._ready: queue.SimpleQueue[Blank] = queue.SimpleQueue()
        self._low = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_filled, name="pool", daemon=True)
        self._thread.start()
        self._low.set()

    def take(self) -> Blank:
        """Return a blank of today; makes one on the spot where none is ready.

        Raises
        ------
        OSError
            If none is ready and none can be made.
        """
        today = naming.day(self._clock.now())
        while True:
            try:
                blank = self._ready.get_nowait()
            except queue.Empty:
                self._low.set()
                return self._make(today, 1)[0]
            if self._ready.qsize() < _LOW:
                self._low.set()
            if blank.day == today:
                return blank
            self.discard(blank)

    def discard(self, blank: Blank) -> None:
        """Close and remove a blank, used or not; it need not be gone durably."""
        self._files.close(blank.descriptor)
        self._files.unlink(self._root / blank.path)

    def close(self) -> None:
        """Remove what is left."""
        self._closed.set()
        self._low.set()
        self._thread.join()
        while not self._ready.empty():
            with suppress(OSError):  # the next start sweeps it
                self.discard(self._ready.get_nowait())

    def _make(self, day: str, count: int) -> list[Blank]:
        folder = self._root / naming.INSTANCES / day
        root = str(self._root)  # joined as text: a path object costs as much as making the file
        made: list[Blank] = []
        try:
            self._files.make_folder(folder)
            for token in naming.tokens(count):
                path = f"{naming.INSTANCES}/{day}/{token}.dcm"
                made.append(Blank(path, day, self._files.create(f"{root}/{path}")))
            self._files.sync_folder(folder)
        except OSError:
            for blank in made:
                with suppress(OSError):  # the first error is the one that tells
                    self.discard(blank)
            raise
        return made

    def _keep_filled(self) -> None:
        while True:
            self._low.wait()
            self._low.clear()
            if self._closed.is_set():
                return
            try:
                for blank in self._make(naming.day(self._clock.now()), _BATCH):
                    self._ready.put(blank)
            except OSError:
                continue  # the disk is full or fails: whoever takes next meets it and says so
