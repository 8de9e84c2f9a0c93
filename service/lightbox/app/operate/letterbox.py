"""How a command beside the service asks the control process: a file, and a ring at its door.

It works when the web port is closed and needs no token: whoever may write in the data directory
may ask. The request becomes ``NAME.taken`` when control takes it, and is gone when it is answered
in ``NAME.answer``; so a command that waits in vain knows whether anything was or will be done.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lightbox.app.doorbell import Doorbell, answers, ring
from lightbox.app.operate.switch import put
from lightbox.domain.errors import LightboxError, OperationError
from lightbox.domain.operations import (
    Outcome,
    Request,
    outcome_from,
    outcome_json,
    request_from,
    request_json,
)
from lightbox.ports import Clock
from lightbox.storage.files import Files

PATIENCE = 5.0
"""Seconds that a command waits for the answer."""

_LOOK_ANYWAY = 0.25
_ASKED, _TAKEN, _ANSWER = ".json", ".taken", ".answer"
_STALE = 60.0

_log = logging.getLogger(__name__)


class Letterbox:
    """The control process's end.

    Parameters
    ----------
    root : Path
        The data directory.
    files : Files
        Writes the answers.
    clock : Clock
        For the age of what lies there.
    """

    def __init__(self, root: Path, files: Files, clock: Clock) -> None:
        self._root = root
        self._folder = root / "operations"
        self._files = files
        self._clock = clock

    def prepare(self) -> None:
        """Make the folder; throw away what the last run left and no command waits for."""
        self._files.make_folder(self._folder)
        for path in self._folder.iterdir():
            if path.suffix != _ASKED or self._is_stale(path):
                self._files.unlink(path)

    def look(self, perform: Callable[[Request], Outcome]) -> None:
        """Answer every request that lies there, the oldest first."""
        for asked in sorted(self._folder.glob(f"[!.]*{_ASKED}")):
            taken = asked.with_suffix(_TAKEN)
            try:
                self._files.rename(asked, taken)
            except FileNotFoundError:  # its command has given up
                continue
            outcome = self._answer(taken, perform)
            put(self._files, asked.with_suffix(_ANSWER), outcome_json(outcome))
            self._files.unlink(taken)
            ring(self._root, _bell(asked.stem))
        self._tidy()

    def _answer(self, taken: Path, perform: Callable[[Request], Outcome]) -> Outcome:
        try:
            request = request_from(taken.read_bytes())
        except (OSError, ValueError) as error:
            _log.warning("request %s: %s", taken.name, type(error).__name__)
            line = "the request cannot be read: are command and service of the same version?"
            return Outcome(is_done=False, lines=(line,))
        try:
            return perform(request)
        except LightboxError as error:
            return Outcome(is_done=False, lines=(str(error),))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            _log.warning("request %s: %s", taken.name, type(error).__name__)
            return Outcome(is_done=False, lines=(f"{request.action}: not done to its end, {why}",))

    def _tidy(self) -> None:
        """Remove answers that nobody fetched."""
        for answer in self._folder.glob(f"*{_ANSWER}"):
            if self._is_stale(answer):
                self._files.unlink(answer)

    def _is_stale(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            return self._clock.now() - path.stat().st_mtime > _STALE
        return False


def ask(root: Path, request: Request, files: Files, clock: Clock) -> Outcome:
    """Have the running service do something, and wait for what it says.

    Raises
    ------
    OperationError
        If no service runs on this data directory, or it did not answer in time.
    """
    if not answers(root, "control"):
        raise OperationError(f"data_dir {root}", "no service runs here", "start it: lightbox serve")
    folder = root / "operations"
    name = f"{int(request.at * 1e6)}-{os.getpid()}"
    asked, answer = folder / f"{name}{_ASKED}", folder / f"{name}{_ANSWER}"
    bell = Doorbell(root, _bell(name))
    try:
        put(files, asked, request_json(request))
        ring(root, "control")
        give_up = clock.monotonic() + PATIENCE
        while not answer.exists() and clock.monotonic() < give_up:
            bell.wait(_LOOK_ANYWAY)
        if not answer.exists():
            raise _unanswered(root, asked, files)
        outcome = outcome_from(answer.read_bytes())
        files.unlink(answer)
    except OSError as error:
        raise OperationError(
            f"data_dir {root}",
            (error.strerror or str(error)).lower(),
            "ask as the user that the service runs as",
        ) from None
    finally:
        bell.close()
    return outcome


def _unanswered(root: Path, asked: Path, files: Files) -> OperationError:
    try:
        files.rename(asked, asked.with_suffix(".withdrawn"))
    except FileNotFoundError:
        words, mend = "works on it and has not answered yet", "look again: lightbox studies"
    else:
        files.unlink(asked.with_suffix(".withdrawn"))
        words, mend = "has not answered; nothing was done", "see its log, ask again"
    return OperationError(f"service on {root}", f"{words} after {PATIENCE:g} s", mend)


def _bell(name: str) -> str:
    return f"operation-{name}"
