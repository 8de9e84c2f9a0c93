"""What every command is given: where the configuration is, and how much to say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.errors import UsageError
from lightbox.settings import Loaded, Settings, read


@dataclass(slots=True)
class Invocation:
    """One call of the program; ``-c`` and ``--debug`` fill it before or after the command's name.

    Attributes
    ----------
    config : str or None
        File named by ``-c``; None: ``LIGHTBOX_CONFIG`` or the defaults.
    debug : bool
        True: tracebacks are shown.
    """

    config: str | None = None
    debug: bool = False

    def loaded(self) -> Loaded:
        """Read the configuration, with the source of each value.

        Raises
        ------
        ConfigurationError
            In one line.
        """
        return read(self.config, os.environ)

    def settings(self) -> Settings:
        """Read the configuration.

        Raises
        ------
        ConfigurationError
            In one line.
        """
        return self.loaded().settings

    def ledger_folder(self) -> Path:
        """Return the folder that holds the ledger's chains.

        Raises
        ------
        UsageError
            If no service has ever run there.
        """
        data_dir = self.settings().data_dir
        folder = Path(data_dir) / "ledger"
        if not folder.is_dir():
            mend = "name the service's configuration with -c"
            raise UsageError(f"data_dir {data_dir}", "holds no ledger", mend)
        return folder
