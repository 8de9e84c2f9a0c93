"""What every role does the same way: be told to stop, notice an orphan's fate, say "ready"."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from lightbox.app.doorbell import Doorbell, answers, ring

_ORPHANED = 3
DEVICE_LOST = 5
"""Exit code of a worker whose device answers no more: another one is to take its place."""


class Process:
    """One role's process.

    Attributes
    ----------
    stopping : threading.Event
        Set by SIGTERM and SIGINT; the role drains and returns.
    """

    def __init__(self, folder: Path, role: str) -> None:
        self._folder = folder
        self._role = role
        self.stopping = threading.Event()
        self._up: Doorbell | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # control alone listens to it
        if os.environ.get("LIGHTBOX_SUPERVISED"):
            threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()

    def ready(self, **facts: object) -> None:
        """Tell the supervisor that this role is up, with facts for its one line."""
        self._up = Doorbell(self._folder, f"{self._role}-ready")
        ring(self._folder, "supervisor", json.dumps({"ready": self._role, **facts}).encode())

    def _asked(self, _number: int, _frame: object) -> None:
        self.stopping.set()
        ring(self._folder, self._role)


def is_ready(folder: Path, role: str) -> bool:
    """Say whether the process of this role runs and has said that it is ready."""
    return answers(folder, f"{role}-ready")


def _end_with_supervisor() -> None:
    """End at once when the supervisor is gone: nothing that was acknowledged is in memory only.

    Its end of our standard input closes with it. Draining would hold ports and the lock of the
    data directory against the service that is being started in its place.
    """
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(_ORPHANED)
