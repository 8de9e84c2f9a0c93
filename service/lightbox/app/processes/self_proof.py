"""The service proves its own ledger, day by day, and shows what any proof found.

A chain that was edited, or an instance that nobody accounts for, is worth nothing if it is found
when somebody asks for it a year later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from lightbox.app.processes.prover import Prover
from lightbox.ports import Clock

_SOON = 600.0
"""The first proof comes so many seconds after a start, or sooner where proofs are asked more often:
what wakes up with the service has the machine to itself."""

_log = logging.getLogger(__name__)


class SelfProof:
    """Has the ledger proved again and again, without waiting for it.

    Parameters
    ----------
    prover : Prover
        The one that the console asks, too.
    every : float
        Seconds from one proof to the next; 0: never by itself.
    tell : callable
        Gets the number of problems found and the time, after each proof, whoever asked for it.
    """

    def __init__(
        self, prover: Prover, every: float, tell: Callable[[int, float], None], clock: Clock
    ) -> None:
        self._prover = prover
        self._every = every
        self._tell = tell
        self._clock = clock
        self._due = clock.monotonic() + min(_SOON, every)
        self._told = 0.0  # when the newest proof was begun of which was told

    def look(self) -> None:
        """Tell of a proof that has ended; begin one that is due."""
        newest = self._prover.state()
        if newest.is_running:
            return
        if newest.at != self._told:
            self._told = newest.at
            if newest.proof is None:
                _log.warning("the ledger was not proved: %s", newest.trouble)
            else:
                self._found(len(newest.proof["problems"]))
        if self._every and self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + self._every
            self._prover.start()

    def _found(self, problems: int) -> None:
        self._tell(problems, self._clock.now())
        if problems:
            _log.error(
                "the ledger does not prove, %d problems: run lightbox ledger prove", problems
            )
