"""A service of our own beside a tool: ``lightbox serve`` as a process, started and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from lightbox.domain.errors import UsageError

_START_SECONDS = 60.0
_STOP_SECONDS = 35.0


class Service:
    """Starts on entering and is ready when entering returns; drains on leaving.

    Parameters
    ----------
    config : Path
        Configuration file.
    log : Path
        Gets what the service writes to stderr.
    under : sequence of str
        A command that becomes it, such as ``nice``; () for none.
    """

    def __init__(self, config: Path, log: Path, under: Sequence[str] = ()) -> None:
        self._config = config
        self._log = log
        self._under = tuple(under)
        self._process: subprocess.Popen[str] | None = None
        self._ready = threading.Event()
        self._reader: threading.Thread | None = None
        self.facts: Mapping[str, str] = {}

    @property
    def dicom_port(self) -> int:
        """Port that the listener got."""
        return int(self.facts["dicom"].rpartition(":")[2])

    @property
    def web_url(self) -> str:
        """Where console, API and metrics are."""
        return self.facts["web"]

    @property
    def process(self) -> subprocess.Popen[str]:
        """The supervisor's process."""
        assert self._process is not None
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait for its ready line.

        Raises
        ------
        UsageError
            If it ends instead, with its last line.
        """
        self._ready.clear()
        self.facts = {}
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [*self._under, sys.executable, "-m", "lightbox", "-c", str(self._config), "serve"],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._ready.wait(_START_SECONDS)
        if not self.facts:
            self.stop()
            said = self._log.read_text().strip().splitlines() if self._log.exists() else []
            raise UsageError(
                "lightbox serve", said[-1] if said else "did not get ready", f"see {self._log}"
            )

    def stop(self) -> int:
        """Drain and stop; return its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(_STOP_SECONDS)  # to the end of the log
        return self._process.returncode

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Copy its stderr to the log; find the ready line."""
        assert process.stderr is not None
        with process.stderr, self._log.open("a") as log:
            for line in process.stderr:
                log.write(line)
                log.flush()
                if line.startswith("ready "):
                    pairs = (part.partition("=") for part in line.split()[1:])
                    self.facts = {key: value for key, _, value in pairs}
                    self._ready.set()
        self._ready.set()
