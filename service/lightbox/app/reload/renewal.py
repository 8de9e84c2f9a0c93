"""One process takes up another configuration, and writes down that it did."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from lightbox.app.reload.accepted import Accepted, from_file, keep, kept
from lightbox.app.reload.live import differences, merged
from lightbox.app.site_check import check
from lightbox.domain.errors import ConfigurationError, LedgerError, OperationError
from lightbox.domain.events import ConfigurationTaken
from lightbox.domain.operations import Outcome, Request
from lightbox.ports import Clock, Ledger
from lightbox.settings import Loaded, Settings
from lightbox.storage.files import Files

_log = logging.getLogger(__name__)


class Renewal:
    """Control's part: it reads the file, refuses it or has it taken up by all processes.

    Parameters
    ----------
    root : Path
        The data directory.
    loaded : Loaded
        What is in force now.
    ledger : Ledger
        Control's.
    take : callable
        Has control's parts take up the settings; what it raises leaves them as they were.
    clock : Clock
        Time.
    environ : mapping of str to str
        The environment, which outranks the file.
    """

    def __init__(
        self,
        root: Path,
        loaded: Loaded,
        ledger: Ledger,
        take: Callable[[Settings], None],
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._root = root
        self._ledger = ledger
        self._take = take
        self._environ = environ
        self._accepted = kept(root) or from_file(loaded.file, "start", clock.now())
        self.loaded = loaded

    def reload(self, request: Request) -> Outcome:
        """Read the file again and take up what can change while the service runs.

        Raises
        ------
        ConfigurationError
            If something in the file is wrong, or does not go with what needs a restart. All stays
            as it was then.
        OperationError
            If the other processes could not be given it; the next reload tries again.
        LedgerError
            If it could not be recorded; the new configuration is in force all the same.
        """
        wanted = from_file(self._accepted.file, request.by, request.at)
        asked = self._checked(wanted)
        tree = merged(self._accepted.tree, wanted.tree)
        accepted = Accepted(wanted.file, tree, request.by, request.at)
        loaded = self._checked(accepted)
        before, now = self.loaded.settings.model_dump(), loaded.settings.model_dump()
        changed = differences(before, now)
        restart = differences(now, asked.settings.model_dump())
        if changed:
            self._take(loaded.settings)
            self._keep(accepted)
            self._accepted, self.loaded = accepted, loaded
            self._ledger.record(taken("control", accepted, changed, restart))
        return Outcome(is_done=True, lines=tuple(_words(wanted.file, changed, restart)))

    def _keep(self, accepted: Accepted) -> None:
        """Write down what is in force, which is how the other processes get it."""
        try:
            keep(self._root, accepted, Files())
        except OSError as error:
            raise OperationError(
                "configuration",
                f"is in force in part only, it cannot be written down: {error.strerror or error}",
                "free space on the disk of data_dir, then reload again",
            ) from None

    def _checked(self, accepted: Accepted) -> Loaded:
        loaded = accepted.loaded(self._environ)
        check(loaded.settings)
        return loaded


class FollowUp:
    """The part of every other process: it takes up what control accepted.

    Parameters
    ----------
    role : str
        Of this process.
    settings : Settings
        What is in force now.
    ledger : Ledger
        Of this process.
    take : callable
        Has its parts take up the settings.
    """

    def __init__(
        self, role: str, settings: Settings, ledger: Ledger, take: Callable[[Settings], None]
    ) -> None:
        self._role = role
        self._settings = settings
        self._ledger = ledger
        self._take = take

    def follow(self, accepted: Accepted) -> None:
        """Take up a configuration; what is wrong with it here is said, and the old one stays."""
        try:
            settings = accepted.loaded(os.environ).settings
            changed = differences(self._settings.model_dump(), settings.model_dump())
            if not changed:
                return
            self._take(settings)
            self._settings = settings
            self._ledger.record(taken(self._role, accepted, changed, ()))
        except (ConfigurationError, LedgerError) as error:
            _log.error("the new configuration: %s", error)  # one line for people
        else:
            _log.info("configuration of %s taken up (%s)", accepted.by, ", ".join(changed))


def taken(
    role: str, accepted: Accepted, changed: tuple[str, ...], restart: tuple[str, ...]
) -> ConfigurationTaken:
    """Return the event that a process has taken up a configuration."""
    return ConfigurationTaken(
        role, accepted.digest, accepted.by, accepted.at, accepted.file, changed, restart
    )


def _words(file: str, changed: tuple[str, ...], restart: tuple[str, ...]) -> list[str]:
    where = file or "the defaults and the environment"
    if changed:
        lines = [f"{where}: in force now: {', '.join(changed)}"]
    else:
        lines = [f"{where}: nothing has changed that can change while the service runs"]
    if restart:
        lines.append(f"after a restart only: {', '.join(restart)}")
    return lines
