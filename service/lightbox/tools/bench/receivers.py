"""Who receives in ``lightbox bench receive``: ours, storescp (DCMTK) and Orthanc, as processes.

They do not promise the same: ours answers success when file, folder and ledger row are on disk;
storescp writes a file and syncs nothing; "storescp + fsync" is the same program with a library in
front of it that syncs each file; Orthanc syncs the file and not its index. A slower disk is made
by the same library: each sync takes longer, for all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from lightbox.app.clock import SystemClock
from lightbox.domain.errors import UsageError
from lightbox.tools.bench.report import OURS
from lightbox.tools.orthanc import Orthanc, free_port
from lightbox.tools.orthanc import is_installed as orthanc_is_installed

STORESCP, SYNCED, ORTHANC = "storescp", "storescp + fsync", "Orthanc"
_SOURCE = Path(__file__).with_name("sync_shim.c")
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who listens on loopback; ``pid`` is 0 where nobody asks for its memory."""

    port: int
    ae_title: str
    pid: int = 0


Start: TypeAlias = Callable[[Path], AbstractContextManager[Receiver]]
"""A folder of its own → a receiver, for as long as the block lasts."""


def built_shim(folder: Path) -> Path | None:
    """Build the library that syncs and delays; None where there is no C compiler.

    Raises
    ------
    UsageError
        If there is one and it fails.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    built = folder / "sync_shim.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(built), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UsageError(str(_SOURCE), done.stderr.strip()[-200:], "look at the C compiler")
    return built


def known(shim: Path | None = None, delay: float = 0.0) -> dict[str, Start]:
    """Return how to start each receiver that is installed.

    Parameters
    ----------
    shim : Path or None
        What :func:`built_shim` built.
    delay : float
        Seconds that every sync takes longer; needs the shim.
    """
    slow = _preloaded(shim, SYNC_DELAY_US=str(round(1e6 * delay))) if shim and delay else {}
    found: dict[str, Start] = {OURS: partial(ours, environment=slow)}
    if shutil.which("storescp"):
        found[STORESCP] = partial(_storescp, environment=slow)
        if shim is not None:
            synced = {**_preloaded(shim, SYNC_ON_CLOSE="1"), **slow}
            found[SYNCED] = partial(_storescp, environment=synced)
    if orthanc_is_installed():
        found[ORTHANC] = partial(_orthanc, environment=slow)
    return found


def _preloaded(shim: Path, **asked: str) -> dict[str, str]:
    return {"LD_PRELOAD": str(shim), **asked}


@contextmanager
def ours(folder: Path, environment: Mapping[str, str]) -> Iterator[Receiver]:
    """Run our listener with default settings."""
    port = free_port()
    with listening(folder, port, environment=environment) as process:
        yield Receiver(port, "LIGHTBOX", process.pid)


@contextmanager
def listening(
    folder: Path, port: int, more: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run our listener, no other role beside it; its data are in ``folder / "data"``.

    Parameters
    ----------
    folder : Path
        Made here.
    more : str
        TOML that goes on after ``[dicom] port``.

    Raises
    ------
    UsageError
        If it does not start.
    """
    folder.mkdir(parents=True)
    config = folder / "lightbox.toml"
    config.write_text(
        f'data_dir = {json.dumps(str(folder / "data"))}\n[storage]\nreserve = "100MB"\n'
        f"[dicom]\nport = {port}\n{more}"
    )
    command = [sys.executable, "-m", "lightbox", "-c", str(config), "serve", "--role", "receive"]
    with _process(command, folder / "log", port, environment or {}) as process:
        yield process


@contextmanager
def _storescp(folder: Path, environment: Mapping[str, str]) -> Iterator[Receiver]:
    folder.mkdir()
    port = free_port()
    command = [
        str(shutil.which("storescp")), "--fork", "-aet", "STORESCP", "-pdu", "131072",
        "-od", str(folder), str(port),
    ]  # fmt: skip
    with _process(command, folder.with_suffix(".log"), port, environment):
        yield Receiver(port, "STORESCP")


@contextmanager
def _orthanc(folder: Path, environment: Mapping[str, str]) -> Iterator[Receiver]:
    with Orthanc(folder, environment=environment) as orthanc:
        yield Receiver(orthanc.dicom_port, orthanc.ae_title)


@contextmanager
def _process(
    command: list[str], log: Path, port: int, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a receiver until the block ends; it answers when the block begins."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  # fixed programs
            command, stdout=out, stderr=out, env={**os.environ, **environment}
        )
    try:
        _wait_for(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    clock, pause = SystemClock(), threading.Event()
    until = clock.monotonic() + _START_SECONDS
    while process.poll() is None and clock.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        pause.wait(_EVERY)
    said = log.read_text(errors="replace").strip().splitlines()
    raise UsageError(str(process.args), said[-1] if said else "does not answer", f"see {log}")


def peak_memory(pid: int) -> int:
    """Return the most resident memory that a process ever had, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
