"""``lightbox serve``: one process that starts and watches the others, and stops them in order.

It holds the lock on the data directory and imports nothing heavy. Its children inherit the lock
and end when it ends, so the lock is free exactly when nobody works in the directory any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightbox.app.doorbell import Doorbell
from lightbox.app.processes.process import DEVICE_LOST
from lightbox.domain.errors import ConfigurationError
from lightbox.ports import Clock

ROLES = ("receive", "control", "work")
_STOP_ORDER = (("receive", 10.0), ("work", 8.0), ("control", 8.0))
DATA_DIR = "LIGHTBOX_SUPERVISED_DATA_DIR"
"""Tells a role where the configuration is that the others have."""
_ORPHANS_GO = 15.0
_CONFIGURATION_IS_WRONG = 2
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}  # small fits: its threads only wait for each other
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


def lock_data_dir(folder: Path, clock: Clock) -> int:
    """Take the lock of a data directory; return its descriptor (inheritable).

    Where the holder is alive the refusal comes at once. Where only its orphans hold the lock, they
    are about to end: wait for them.

    Raises
    ------
    ConfigurationError
        If another service works in this directory, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"data_dir {folder}", error.strerror or str(error), "name a writable folder"
        ) from error
    give_up = clock.monotonic() + _ORPHANS_GO
    nap = Doorbell(folder, f"lock-{os.getpid()}")
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                if _is_alive(holder) or clock.monotonic() > give_up:
                    raise ConfigurationError(
                        f"data_dir {folder}",
                        f"is in use by another lightbox (process {holder or 'unknown'})",
                        "stop it, or give this one a data_dir of its own",
                    ) from None
                nap.wait(0.1)
            else:
                break
    finally:
        nap.close()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    os.set_inheritable(descriptor, True)  # a positional-only argument
    return descriptor


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass
class _Child:
    """One role: its process, and when it may be started again after it died."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    ready: Mapping[str, object] | None = None
    not_before: float = 0.0
    delay: float = _FIRST_DELAY
    command: list[str] = field(default_factory=list)


class Supervisor:
    """Starts receive, control and work, and keeps them running until told to stop."""

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        clock: Clock,
        say: Callable[[str], None],
        announced: Callable[[Mapping[str, str]], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._say = say
        self._on_announced = announced
        self._lock = lock_data_dir(folder, clock)
        self._bell = Doorbell(folder, "supervisor")
        self._children = [
            _Child(
                role,
                command=[sys.executable, "-m", "lightbox", *arguments, "serve", "--role", role],
            )
            for role in ROLES
        ]
        self._stopping = False
        self._announced = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_asked)
        signal.signal(signal.SIGHUP, self._reload_asked)
        started = self._clock.monotonic()
        for child in self._children:
            self._start(child)
        while not self._stopping:
            self._hear(self._bell.wait(0.2))
            for child in self._children:
                code = self._look_after(child)
                if code == _CONFIGURATION_IS_WRONG and not self._announced:
                    self._stop_children()
                    return code
            if not self._announced and all(c.ready is not None for c in self._children):
                self._announced = True
                self._announce(self._clock.monotonic() - started)
        self._stop_children()
        return 0

    def _stop_asked(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _reload_asked(self, _number: int, _frame: object) -> None:
        """Hand the signal on to control, which reads the configuration again.

        At a terminal it means that the window was closed.
        """
        if sys.stdin is not None and sys.stdin.isatty():
            self._stopping = True
            return
        for child in self._children:
            if child.role == "control" and child.process is not None and child.ready is not None:
                child.process.send_signal(signal.SIGHUP)

    def _start(self, child: _Child) -> None:
        child.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            child.command,
            stdin=subprocess.PIPE,  # its end of file tells the child that we are gone
            pass_fds=(self._lock,),
            env={
                **_ENVIRONMENT,
                **os.environ,
                "LIGHTBOX_SUPERVISED": "1",
                DATA_DIR: str(self._folder),
            },
            start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
        )

    def _hear(self, messages: list[bytes]) -> None:
        for message in messages:
            with contextlib.suppress(ValueError):
                said = json.loads(message)
                for child in self._children:
                    if said.get("ready") == child.role:
                        child.ready = said
                        child.delay = _FIRST_DELAY
                    if child.role in said.get("anew", ()) and child.process is not None:
                        child.process.send_signal(signal.SIGTERM)  # it drains, and starts again

    def _look_after(self, child: _Child) -> int | None:
        """Start a dead child again, later each time; return its exit code when it just died."""
        now = self._clock.monotonic()
        if child.process is None:
            if now >= child.not_before:
                self._start(child)
            return None
        code = child.process.poll()
        if code is None:
            return None
        child.process = None
        child.not_before = now + child.delay
        child.delay = min(2 * child.delay, _LONGEST_DELAY)
        if code != _CONFIGURATION_IS_WRONG or self._announced:
            words = f"signal {-code}" if code < 0 else f"exit {code}"
            if code == DEVICE_LOST:
                words = "its device was lost"
            self._say(f"{child.role} ended ({words}), starting it again")
        return code

    def _announce(self, seconds: float) -> None:
        facts = {k: v for child in self._children for k, v in (child.ready or {}).items()}
        facts.pop("ready", None)
        words = " ".join(f"{key}={value}" for key, value in facts.items())
        self._say(f"ready {words} data_dir={self._folder} start_seconds={seconds:.1f}")
        self._on_announced({key: str(value) for key, value in facts.items()})

    def _stop_children(self) -> None:
        """Let each drain in order; who is not up yet has nothing to drain, and may load for long."""
        by_role = {child.role: child for child in self._children}
        for child in self._children:
            if child.process is not None and child.ready is None:
                child.process.kill()
        for role, seconds in _STOP_ORDER:
            process = by_role[role].process
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._say(f"{role} did not stop in {seconds:.0f} s, killing it (nothing is lost)")
                process.kill()
                process.wait()
        self._bell.close()
