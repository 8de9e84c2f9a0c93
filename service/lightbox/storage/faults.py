"""Faults of the disk, on purpose: the n-th call of an operation fails, waits, or kills us."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lightbox.storage.files import Operation


@dataclass
class FaultAt:
    """Does something at the n-th call of an operation, and with ``lasting`` at each one after.

    Parameters
    ----------
    operation : Operation
    nth : int
        From 1.
    act : callable
        What happens: see :func:`fail`, :func:`wait`, :func:`kill`.
    lasting : bool
        Whether the disk stays like that.
    """

    operation: Operation
    nth: int
    act: Callable[[], None]
    lasting: bool = False
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, operation: Operation) -> None:
        """Count, and act where it is time."""
        if operation != self.operation:
            return
        with self._lock:
            self.calls += 1
            due = self.calls == self.nth or (self.lasting and self.calls > self.nth)
        if due:
            self.act()


def fail(number: int = errno.EIO) -> Callable[[], None]:
    """Fail as the operating system does, with this ``errno``."""

    def act() -> None:
        raise OSError(number, os.strerror(number))

    return act


def wait(seconds: float) -> Callable[[], None]:
    """Be slow."""

    def act() -> None:
        threading.Event().wait(seconds)

    return act


def kill() -> None:
    """Die as by ``kill -9``: nothing is flushed, nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
