"""Processes of one machine wake each other: a datagram says "look at the ledger".

Nothing depends on a datagram arriving: whoever waits looks at the ledger anyway after a while.
"""

from __future__ import annotations

import contextlib
import select
import socket
from pathlib import Path

_LONGEST = 65_536


def _address(folder: Path, role: str) -> str:
    """Return an abstract socket name: no file to clean up, no path limit of 108 bytes."""
    inode = folder.stat()
    return f"\0lightbox-{inode.st_dev}-{inode.st_ino}-{role}"


class Doorbell:
    """Where one process hears the others; ``folder`` is the data directory that they share."""

    def __init__(self, folder: Path, role: str) -> None:
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(_address(folder, role))

    def wait(self, seconds: float) -> list[bytes]:
        """Wait for a ring, at most so long; return the messages of all rings so far."""
        heard: list[bytes] = []
        select.select([self._socket], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError, InterruptedError):
            while len(heard) < 1000:
                heard.append(self._socket.recv(_LONGEST))
        return heard

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class Bell:
    """Wakes one process again and again, from any thread: once for each instance that is stored.

    Parameters
    ----------
    folder : Path
        The data directory.
    role : str
        Who is woken.
    """

    def __init__(self, folder: Path, role: str) -> None:
        self._address = _address(folder, role)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def ring(self, message: bytes = b"") -> None:
        """Wake it. Where none listens, or it is behind, nothing happens."""
        with contextlib.suppress(OSError):
            self._socket.sendto(message, self._address)

    def close(self) -> None:
        """Ring no more."""
        self._socket.close()


def ring(folder: Path, role: str, message: bytes = b"") -> None:
    """Wake a process once. Where none listens, or it is behind, nothing happens."""
    with contextlib.suppress(OSError), contextlib.closing(Bell(folder, role)) as bell:
        bell.ring(message)


def answers(folder: Path, role: str) -> bool:
    """Say whether a process listens under this name: it lives and has got that far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_address(folder, role))
        except OSError:
            return False
    return True
