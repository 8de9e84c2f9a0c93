"""``lightbox bench restart``: from ``kill -9`` with much that waits to everything at work again.

A service takes series that a model wants, and is kept from working on them by the stop switch, so
that all of it waits when every process is killed. Then the switch is lifted and it starts again.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
from pydicom.filewriter import dcmwrite
from pydicom.uid import generate_uid

from lightbox.app.clock import SystemClock
from lightbox.app.operate.switch import Flag, Switch
from lightbox.domain.errors import UsageError
from lightbox.domain.events import Event, JobPlaced, JobStarted
from lightbox.domain.operations import ALL
from lightbox.ledger.timeline import LedgerReader
from lightbox.storage.files import Files
from lightbox.tools.bench import sender
from lightbox.tools.bench.listener import Line
from lightbox.tools.bench.report import Case
from lightbox.tools.demo.data import MODEL, sample_folders, studies_in
from lightbox.tools.orthanc import free_port
from lightbox.tools.service import Service

_RECEIVING, _RESUMED = 5.0, 30.0
_PATIENCE = 1800.0
_GLANCE = 0.05


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """How much waits: so many instances, in series of so many."""

    pending: int = 10_000
    in_series: int = 20


def bench_restart(models: Path, plan: RestartPlan, said: Callable[[str], None]) -> list[Case]:
    """Measure.

    Raises
    ------
    UsageError
        If there are no samples, or the service does not do its part.
    """
    sources = studies_in(sample_folders(models))
    if not sources:
        raise UsageError(f"models {models}", "hold no samples", "name [models] path")
    with (
        TemporaryDirectory(prefix="lightbox-bench-") as folder,
        closing(_Site(Path(folder), models, sources[0].files[0])) as site,
    ):
        return site.measured(plan, said)


class _Site:
    """A service in a folder, with nobody to deliver to."""

    def __init__(self, folder: Path, models: Path, sample: Path) -> None:
        self._clock = SystemClock()
        self._data = folder / "data"
        self._port = free_port()
        self._image = pydicom.Dataset(pydicom.dcmread(sample))
        config = folder / "lightbox.toml"
        config.write_text(
            f'data_dir = {json.dumps(str(self._data))}\n[storage]\nreserve = "100MB"\n'
            f"[dicom]\nport = {self._port}\n[web]\nport = {free_port()}\n"
            f'[studies]\nquiet_period = "0.5s"\n[models]\npath = {json.dumps(str(models))}\n'
            f"enabled = [{json.dumps(MODEL)}]\n"
        )
        self._service = Service(config, folder / "log")
        self._reader = LedgerReader(self._data / "ledger")
        self._seen: dict[str, int] = {}

    def close(self) -> None:
        self._service.stop()
        self._reader.close()

    def measured(self, plan: RestartPlan, said: Callable[[str], None]) -> list[Case]:
        switch, flag = Switch(self._data, Files()), Flag(ALL, "bench", self._clock.now())
        Files().make_folder(self._data)
        switch.prepare()
        switch.stop(flag)
        self._service.start()
        series = -(-plan.pending // plan.in_series)
        said(f"{series} series of {plan.in_series} are sent")
        for number in range(series):
            self._send(number, plan.in_series)
        said("all of them become jobs that wait")
        self._count(JobPlaced, series)
        self._kill()
        switch.resume(flag)
        said("killed; it starts again")
        return self._restarted(f"{plan.pending} instances in {series} jobs wait")

    def _restarted(self, note: str) -> list[Case]:
        began = self._clock.monotonic()
        start = threading.Thread(target=self._service.start)
        start.start()
        while not self._is_receiving():
            self._glance(began)
        receiving = self._clock.monotonic() - began
        start.join()
        self._count(JobStarted, 1)
        resumed = self._clock.monotonic() - began
        return [
            Case("receiving again after kill -9", receiving, "s", {"bar": _RECEIVING}, note=note),
            Case("all work resumed after kill -9", resumed, "s", {"bar": _RESUMED},
                 note="every role is ready, the account is whole, the first job has begun"),
        ]  # fmt: skip

    def _send(self, number: int, images: int) -> None:
        """Store a series of one study by one association."""
        image = self._image
        image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
        with Line(self._port) as line:
            line.associate(image.SOPClassUID)
            for copy in range(images):
                image.SOPInstanceUID = sender.uid_of(number, copy)
                encoded = BytesIO()
                dcmwrite(encoded, image, implicit_vr=False, little_endian=True)
                command = sender.store_rq(image.SOPClassUID, image.SOPInstanceUID)
                if status := line.command(command, encoded.getvalue()):
                    raise UsageError("lightbox", f"answered 0x{status:04X}", "see its log")

    def _is_receiving(self) -> bool:
        with suppress(OSError):
            self._send(99_999_999, 1)
            return True
        return False

    def _kill(self) -> None:
        """Kill every process of the service at once."""
        pid = self._service.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            os.kill(each, signal.SIGKILL)
        self._service.stop()

    def _count(self, kind: type[Event], wanted: int) -> None:
        """Wait for so many events of this kind since the last time."""
        began, found = self._clock.monotonic(), 0
        while found < wanted:
            for row in self._reader.stream(self._seen):
                self._seen[row.chain] = row.sequence
                found += isinstance(row.event, kind)
            self._glance(began)

    def _glance(self, began: float) -> None:
        threading.Event().wait(_GLANCE)
        if self._clock.monotonic() - began > _PATIENCE:
            raise UsageError("lightbox", f"was not done after {_PATIENCE:.0f} s", "see its log")
