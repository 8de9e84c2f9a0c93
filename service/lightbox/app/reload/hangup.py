"""SIGHUP, as init systems send it, asks for the configuration to be taken up."""

from __future__ import annotations

import logging
import signal
import threading

from lightbox.app.operate.operations import Operations
from lightbox.domain.errors import LightboxError
from lightbox.domain.operations import ALL, Request
from lightbox.ports import Clock

_log = logging.getLogger(__name__)


class Hangups:
    """Notes the signal and does what it asks for in control's own turn.

    Parameters
    ----------
    operations : Operations
        What a person could ask too.
    clock : Clock
        For when it was asked.
    """

    def __init__(self, operations: Operations, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock
        self._asked = threading.Event()
        signal.signal(signal.SIGHUP, self._note)

    def look(self) -> None:
        """Take the configuration up where that was asked for; say in the log what came of it."""
        if not self._asked.is_set():
            return
        self._asked.clear()
        try:
            done = self._operations.perform(Request("reload", ALL, "SIGHUP", self._clock.now()))
        except LightboxError as error:
            _log.error("the configuration was not taken up: %s", error)  # one line for people
            return
        for line in done.lines:
            _log.warning("%s", line)

    def _note(self, _number: int, _frame: object) -> None:
        self._asked.set()
