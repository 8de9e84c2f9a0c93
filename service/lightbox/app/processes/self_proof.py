"""The service proves its own ledger, day by day: a niced child recomputes it beside the work.

A chain that was edited, or an instance that nobody accounts for, is worth nothing if it is found
when somebody asks for it a year later.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

import structlog

from lightbox.ports import Clock

_SOON = 600.0
"""The first proof comes so many seconds after a start, or sooner where proofs are asked more often:
what wakes up with the service has the machine to itself."""

_log = structlog.get_logger()


class SelfProof:
    """Runs ``ledger prove`` again and again, one child at a time, without waiting for it.

    Parameters
    ----------
    arguments : sequence of str
        Of ``lightbox`` before the command, such as ``-c FILE``.
    every : float
        Seconds from one proof to the next; 0: never.
    tell : callable
        Gets the number of problems found and the time, after each proof.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        every: float,
        tell: Callable[[int, float], None],
        clock: Clock,
    ) -> None:
        self._command = [
            "nice", "-n", "19", sys.executable, "-m", "lightbox", *arguments,
            "ledger", "prove", "--json",
        ]  # fmt: skip
        self._every = every
        self._tell = tell
        self._clock = clock
        self._due = clock.monotonic() + min(_SOON, every)
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def look(self) -> None:
        """Begin a proof that is due; take in one that has ended."""
        if self._child is not None:
            if self._child.poll() is not None:
                self._take_in()
        elif self._every and self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + self._every
            self._begin()

    def close(self) -> None:
        """End a proof that is under way; the next start makes another."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        if self._said is not None:
            self._said.close()

    def _begin(self) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe would fill with problems
        try:
            self._child = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=subprocess.DEVNULL,
                env={k: v for k, v in os.environ.items() if k != "LIGHTBOX_SUPERVISED"},
            )
        except OSError as error:
            _log.warning(f"the ledger was not proven: {error.strerror}; it is tried again later")
            self._said.close()

    def _take_in(self) -> None:
        assert self._child is not None
        assert self._said is not None
        self._said.seek(0)
        text, code = self._said.read(), self._child.returncode
        self._said.close()
        self._child = None
        try:
            proof = json.loads(text)
            problems = len(proof["problems"]) or int(not proof["ok"])
        except (ValueError, KeyError, TypeError):
            _log.warning(f"the ledger was not proven: exit {code}; run lightbox ledger prove")
            return
        self._tell(problems, self._clock.now())
        if problems:
            _log.error(f"the ledger does not prove, {problems} problems: run lightbox ledger prove")
