"""A thread that does what is due, waits for the next thing to be due or for news, and ends.

Deliver has three of them for each destination or service: results (``send.py``), questions and
reports of storage commitment (``commitment/``). What they do is theirs; how they wait is here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lightbox.domain.errors import LedgerError
from lightbox.ports import Clock

_log = logging.getLogger(__name__)


class Rounds:
    """Calls ``do_due`` whenever something may be due.

    Parameters
    ----------
    name : str
        Of the thread, and in the log.
    do_due : callable
        Does all that is due now; returns the monotonic time of the next thing to do, None for
        nothing before there is news.
    clock : Clock
        Monotonic time.
    pause : float
        Seconds to wait where ``do_due`` failed: the thread never ends by an error.
    """

    def __init__(
        self, name: str, do_due: Callable[[], float | None], clock: Clock, pause: float
    ) -> None:
        self._name = name
        self._do_due = do_due
        self._clock = clock
        self._pause = max(pause, 1.0)
        self._news = threading.Event()
        self.closing = False
        """Whether ``do_due`` is to return as soon as it can."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def ring(self) -> None:
        """Tell that there is news, from any thread."""
        self._news.set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """End after what is in hand, waiting at most so long."""
        self.closing = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self.closing:
            self._news.clear()
            at = self._unless_failed()
            if not self.closing:
                left = None if at is None else max(at - self._clock.monotonic(), 0.0)
                self._news.wait(left)

    def _unless_failed(self) -> float | None:
        try:
            return self._do_due()
        except LedgerError as error:
            _log.error("%s: %s", self._name, error)  # one line for people
        except Exception:  # noqa: BLE001  # worker loop: one odd thing must not stop the others
            _log.exception("%s", self._name)
        return self._clock.monotonic() + self._pause
