"""The role that receives, as the process that ``lightbox serve`` starts, and what it wrote down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import raw_peer as raw
from lightbox.domain.events import InstanceStored
from lightbox.ledger.timeline import LedgerReader
from lightbox.receive.stored_file import holds
from lightbox.tools.orthanc import free_port
from raw_peer import RawPeer
from site_of_tests import lightbox

PATIENCE = 60.0
NAP = 0.02


class Receiver:
    """``lightbox serve --role receive`` in a folder; dies and starts again as a test wants.

    Parameters
    ----------
    folder : Path
        Gets configuration, log and data directory.
    dicom : str
        More keys of the table ``[dicom]``, TOML, then whatever tables follow.
    """

    def __init__(self, folder: Path, dicom: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.data = folder / "data"
        self.log = folder / "receive.log"
        self.config = folder / "lightbox.toml"
        self.config.write_text(
            f'data_dir = "{self.data}"\n[storage]\nreserve = "1MB"\n'
            f"[dicom]\nport = {self.port}\n{dicom}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *under: str) -> None:
        """Start it, ``under`` a command such as strace; wait until it listens or has died."""
        command = [sys.executable, "-m", "lightbox", "-c", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*under, *command, "serve", "--role", "receive"], stdout=log, stderr=log
            )
        while self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            wait(NAP)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """``kill -9``; it may be dead already. What it ran under ends with it."""
        if self.process is None or self.process.poll() is not None:
            return
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in map(int, children or [str(pid)]):
            os.kill(each, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def send(self, uids: Sequence[str], *tails: bytes) -> list[str]:
        """Send instances that end so, in turn, by one association; return which were taken."""
        answered: list[str] = []
        with suppress(OSError, AssertionError), RawPeer(self.port) as peer:
            peer.associate()
            answered.extend(
                uid
                for uid, tail in zip(uids, cycle(tails or (b"",)), strict=False)
                if peer.store(raw.data_set(uid, tail=tail), instance=uid) == 0
            )
            peer.release()
        return answered

    def echo(self) -> int:
        """C-ECHO; return the status."""
        with RawPeer(self.port) as peer:
            peer.associate()
            return peer.echo()

    def stored(self) -> dict[str, InstanceStored]:
        """Return what the ledger says was accepted, by SOP Instance UID."""
        with closing(LedgerReader(self.data / "ledger")) as reader:
            rows = [row.event for row in reader.stream()]
        return {e.instance.sop_instance_uid: e for e in rows if isinstance(e, InstanceStored)}

    def assert_kept(self, answered: Sequence[str]) -> None:
        """Fail unless each has a row, and a file with the bytes that its row says."""
        rows = self.stored()
        lost = [uid for uid in answered if uid not in rows]
        assert not lost, f"{len(lost)} of {len(answered)} acknowledged have no row: {lost[:3]}"
        for uid in answered:
            instance = rows[uid].instance
            assert holds(self.data / instance.path, instance), uid

    def ledger(self, *words: str) -> tuple[int, Mapping[str, Any], str]:
        """Run ``lightbox ledger``; return its exit code, its JSON and what it said on stderr."""
        done = lightbox("-c", str(self.config), "ledger", *words, "--json")
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def wait(seconds: float) -> None:
    """Let the other process have the machine."""
    threading.Event().wait(seconds)


def until(done: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up, f"not after {seconds:.0f} s"
        wait(NAP)


def names(count: int, of: str = "1") -> list[str]:
    """Return SOP Instance UIDs; ``of`` tells several lots apart."""
    return [f"1.2.826.0.1.3680043.10.1511.9.{of}.{number}" for number in range(1, count + 1)]
