"""Whether a running audit slows receiving: the whole service, the audit held and let go in turn."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from lightbox.app.clock import SystemClock
from lightbox.app.operate.switch import Flag, Switch
from lightbox.domain.errors import UsageError
from lightbox.domain.jobs import JobPath
from lightbox.domain.operations import ALL
from lightbox.domain.urgency import Urgency
from lightbox.ledger.timeline import LedgerReader
from lightbox.storage.files import Files
from lightbox.tools.bench.load import send_one, studies_of
from lightbox.tools.bench.receivers import Receiver
from lightbox.tools.bench.report import OURS, Case, interleaved
from lightbox.tools.bench.rounds import Load, one_round
from lightbox.tools.bench.tally import Tally
from lightbox.tools.demo.data import MODEL, sample_folders, studies_in
from lightbox.tools.service import Service

IDLE = "no audit"
_LEAST = 0.8
_BEGINS_WITHIN = 120.0
_SETTLES_IN = 2.0
"""Seconds after the switch until an audit has stopped, or runs again."""
_FIRST_NUMBER = 10_000_000


def bench_beside_audit(folder: Path, models: Path, load: Load, rounds: int) -> list[Case]:
    """Measure instances per second while an audit runs, and while it is held.

    Parameters
    ----------
    models : Path
        Folder of model packages; what is audited is one of their samples.

    Raises
    ------
    UsageError
        If there are no samples, or no audit begins.
    """
    sources = studies_in(sample_folders(models))
    if not sources:
        raise UsageError(f"models {models}", "hold no samples", "name [models] path")
    folder.mkdir()
    data, config, clock = folder / "data", folder / "lightbox.toml", SystemClock()
    config.write_text(_config(data, models), encoding="utf-8")
    file, _ = next(studies_of(sources, folder / "studies", 1))
    with Service(config, folder / "service.log") as service:
        send_one(file, Urgency.ROUTINE, service.dicom_port)
        _wait_for_audit(data / "ledger", clock)
        switch, numbers = Switch(data, Files()), count(_FIRST_NUMBER)
        receiver = Receiver(service.dicom_port, "LIGHTBOX")
        send = partial(one_round, receiver, load, numbers, [])

        def beside(flag: Callable[[Flag], bool]) -> float:
            flag(Flag(ALL, "bench", clock.now()))
            threading.Event().wait(_SETTLES_IN)
            return send()

        contestants = {OURS: partial(beside, switch.resume), IDLE: partial(beside, switch.stop)}
        measured = interleaved(contestants, rounds)
    name = f"receive 512 KB, {load.senders} senders, the whole service with an audit running"
    note = f"asked: at least {_LEAST:g} x {IDLE}"
    return [measured.case(name, "instances per second", note)]


def _config(data: Path, models: Path) -> str:
    """Return a configuration in which every image gets an audit that does not end."""
    return f"""\
data_dir = {json.dumps(str(data))}
[storage]
reserve = "100MB"
[dicom]
port = 0
[web]
port = 0
[studies]
quiet_period = "0.5s"
[models]
path = {json.dumps(str(models))}
enabled = [{json.dumps(MODEL)}]
[audit]
sample = 1.0
tolerance = 1e-9
max_evaluations = 100000000
"""


def _wait_for_audit(ledger: Path, clock: SystemClock) -> None:
    tally, nap, give_up = Tally(), threading.Event(), clock.monotonic() + _BEGINS_WITHIN
    reader = LedgerReader(ledger)
    try:
        while not any(times.started for times in tally.of(JobPath.AUDIT)):
            if clock.monotonic() > give_up:
                raise UsageError("audit", "has not begun in time", "is the model served?")
            nap.wait(0.25)
            tally.take(reader.since(tally.positions))
    finally:
        reader.close()
