"""One breaker per model: who gives unsound outputs again and again is not asked for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightbox.domain.breaker import Breaker, BreakerState
from lightbox.domain.errors import OutOfServiceError, UnsoundError
from lightbox.ports import Clock

_log = logging.getLogger(__name__)


class Breakers:
    """Counts what the networks answer.

    Parameters
    ----------
    clock : Clock
        Tells when a model may be tried again.
    noticed : callable (model, words) → None
        Is told why a model is out of service, and "" when it is back.
    """

    def __init__(self, clock: Clock, noticed: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._noticed = noticed
        self._lock = threading.Lock()
        self._of: dict[str, Breaker] = {}

    @contextmanager
    def asking(self, model: str) -> Iterator[None]:
        """Ask the model inside of the block; its output counts by how the block ends.

        Raises
        ------
        OutOfServiceError
            If the model is not asked now.
        """
        with self._lock:
            breaker = self._of.get(model, Breaker())
            if not breaker.allows(self._clock.monotonic()):
                raise OutOfServiceError(
                    f"model {model}",
                    f"is out of service after {breaker.failures} unsound outputs: {breaker.reason}",
                    "see `lightbox models check`; then retry what was withheld",
                )
            self._of[model] = breaker.asked()
        try:
            yield
        except UnsoundError as error:
            self.unsound(model, error.reason)
            raise
        except BaseException:
            self._change(model, lambda b: b.neither(self._clock.monotonic()))
            raise
        else:
            self._change(model, Breaker.sound)

    def unsound(self, model: str, reason: str, times: int = 1) -> None:
        """Take in unsound outputs, those too that no job asked for, as at the start."""
        for _ in range(times):
            self._change(model, lambda b: b.unsound(self._clock.monotonic(), reason))

    def _change(self, model: str, step: Callable[[Breaker], Breaker]) -> None:
        with self._lock:
            before = self._of.get(model, Breaker())
            after = self._of[model] = step(before)
        was, now = (b.state is not BreakerState.CLOSED for b in (before, after))
        if now and after.reason:
            words = f"{after.reason}, {after.failures} times in a row"
            if not was:
                _log.error("model %s is out of service: %s", model, words)
            self._noticed(model, words)
        elif was:
            _log.warning("model %s is back in service", model)
            self._noticed(model, "")
