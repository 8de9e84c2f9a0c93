"""The system under drill: the site's configuration and models, beside production, on its disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, SecondaryCaptureImageStorage

from lightbox.app import build
from lightbox.app.clock import SystemClock
from lightbox.deliver.association import Peer
from lightbox.domain.account import Account
from lightbox.domain.errors import UsageError
from lightbox.domain.events import Event, InstanceStored, Recorded
from lightbox.domain.identity import derived_uid
from lightbox.ledger.prove import Proof, prove
from lightbox.ledger.timeline import LedgerReader
from lightbox.settings import Settings
from lightbox.tools.drill.pacs import AE_TITLE, Pacs
from lightbox.tools.orthanc import free_port
from lightbox.tools.send import Report, send
from lightbox.tools.service import Service

DESTINATION = "drill"
CALLED = "LIGHTBOX_STAT"
SECONDS = 90.0
"""Patience with any one thing; the machine may be busy with production."""
_GLANCE = 0.05
_NICE = ("nice", "-n", "10")
_PIXELS = 256


@dataclass(frozen=True, slots=True)
class Study:
    """A study that is sent; its files are copies with UIDs of their own."""

    uid: str
    files: tuple[Path, ...]


class Sandbox:
    """A folder with a service and a PACS in it: all of it is gone on leaving.

    Parameters
    ----------
    settings : Settings
        The site's; paths absolute.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.folder = _beside(Path(settings.data_dir))
        self.data = self.folder / "data"
        self.log = self.folder / "service.log"
        self.dicom_port = free_port()
        self.pacs = Pacs(free_port(), self.dicom_port, settings.dicom.ae_title)
        self._served = build.packages(settings)
        self._samples = _samples(settings, self._served)
        self._drawn = 0
        config = self.folder / "drill.toml"
        tree = _changed(settings, self.data, self.dicom_port, self.pacs.port)
        config.write_text(toml(tree), encoding="utf-8")
        self.service = Service(config, self.log, _NICE if shutil.which("nice") else ())
        self.rows: list[Recorded] = []
        self.account = Account((DESTINATION,), commits=(DESTINATION,))
        self._reader = LedgerReader(self.data / "ledger")

    def __enter__(self) -> Self:
        self.pacs.__enter__()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        self.pacs.__exit__()
        self._reader.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the service; what the environment says is in its file already."""
        kept = {name: os.environ.pop(name) for name in list(os.environ) if _is_ours(name)}
        try:
            self.service.start()
        finally:
            os.environ.update(kept)

    # ----------------------------------------------------------------------------------- sending
    def studies(self, number: int) -> tuple[Study, ...]:
        """Return new studies of one image each, which a model of the site takes."""
        return tuple(self._study(self._samples[n % len(self._samples)]) for n in range(number))

    def strangers(self, number: int) -> tuple[Path, ...]:
        """Return images of one study that no model is for: they are stored and listed."""
        study = self._name()
        return tuple(self._copy(self._samples[0], study, is_strange=True) for _ in range(number))

    def send(self, files: Iterable[Path], port: int = 0) -> Report:
        """Send as a PACS does, with one association."""
        peer = Peer(DESTINATION, CALLED, "127.0.0.1", port or self.dicom_port, AE_TITLE)
        return send(tuple(files), peer)

    # ---------------------------------------------------------------------------------- watching
    def until(self, done: Callable[[], bool], seconds: float = SECONDS) -> bool:
        """Follow the ledger until something is so, at most so long; return whether it was."""
        nap = threading.Event()
        give_up = self.clock.monotonic() + seconds
        while True:
            for row in self._reader.since(self.account.positions):
                self.account.apply(row)
                self.rows.append(row)
            if done():
                return True
            if self.clock.monotonic() > give_up:
                return False
            nap.wait(_GLANCE)

    def events(self, kind: type[Event], *studies: str) -> list[Any]:
        """Return the events of one kind of these studies, in order."""
        return [
            row.event
            for row in self.rows
            if isinstance(row.event, kind) and row.event.study in studies
        ]

    def at(self, kind: type[Event], *studies: str) -> list[float]:
        """Return when these events were recorded, seconds since 1970."""
        return [
            row.at
            for row in self.rows
            if isinstance(row.event, kind) and row.event.study in studies
        ]

    def is_delivered(self, *studies: str) -> bool:
        """Say whether each of these studies has its results in the PACS."""
        return all(self.account.study(uid).turnaround is not None for uid in studies)

    def stored(self, *studies: str) -> set[str]:
        """Return the SOP Instance UIDs that the ledger says are stored."""
        found = self.events(InstanceStored, *studies)
        return {event.instance.sop_instance_uid for event in found}

    def models(self) -> dict[str, str]:
        """Return version and weights of the models that are served."""
        served = self._served.by_name.values()
        return {each.name: f"{each.version}, weights {each.sha256[:16]}" for each in served}

    def prove(self) -> Proof:
        """Prove the sandbox's ledger."""
        return prove(self.data / "ledger", (DESTINATION,))

    def kill(self, role: str) -> bool:
        """``kill -9`` of one process of the service; return whether it was there."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue
            if int(parent) == self.service.process.pid and role.encode() in arguments:
                os.kill(int(folder.name), signal.SIGKILL)
                return True
        return False

    # ------------------------------------------------------------------------------------ making
    def _name(self) -> str:
        self._drawn += 1
        return derived_uid("drill", str(self.folder), str(self._drawn))

    def _study(self, sample: Path) -> Study:
        uid = self._name()
        return Study(uid, (self._copy(sample, uid),))

    def _copy(self, sample: Path, study: str, *, is_strange: bool = False) -> Path:
        dataset = dcmread(sample)
        dataset.PatientName, dataset.PatientID = "Drill^Lightbox", "LIGHTBOX-DRILL"
        dataset.StudyInstanceUID = study
        dataset.SeriesInstanceUID = self._name()
        dataset.SOPInstanceUID = self._name()
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
        if is_strange:
            dataset.SOPClassUID = SecondaryCaptureImageStorage
            dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
            dataset.Modality = "OT"
        path = self.folder / "sent" / f"{self._drawn}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path)
        return path


def _beside(data_dir: Path) -> Path:
    """Make a folder on the file system of the production data, which it does not touch."""
    for place in (data_dir.parent, data_dir):
        if place.is_dir() and os.access(place, os.W_OK):
            return Path(tempfile.mkdtemp(prefix=f"{data_dir.name}-drill-", dir=place))
    raise UsageError(
        f"data_dir {data_dir}",
        "no folder can be made beside it",
        "hold the drill as the user of the service",
    )


def _samples(settings: Settings, served: build.Packages) -> tuple[Path, ...]:
    """Return the DICOM samples of the models that are served."""
    found: list[Path] = []
    for loaded in served.loaded:
        for path in sorted((loaded.folder / "samples").glob("*")):
            try:
                dcmread(path, specific_tags=["SOPInstanceUID"])
            except (InvalidDicomError, OSError):
                continue
            found.append(path)
    if not found:
        raise UsageError(
            f"models.path {settings.models.path}",
            "no model has a DICOM file among its samples",
            "add one that the model takes",
        )
    return tuple(found)


def _changed(settings: Settings, data: Path, port: int, pacs: int) -> dict[str, Any]:
    """Return the site's configuration with its own data, ports and PACS, and no one else's."""
    tree: dict[str, Any] = json.loads(settings.model_dump_json())
    tree["data_dir"] = str(data)
    tree["webhooks"] = []
    tree["dicom"] |= {"host": "127.0.0.1", "port": port, "accept_calling": []}
    tree["dicom"]["accept_called"] = [settings.dicom.ae_title, "LIGHTBOX", CALLED]
    tree["dicom"]["tls"] |= {"certificate": "", "key": "", "ca": ""}
    tree["web"] |= {"host": "127.0.0.1", "port": 0, "token": ""}
    tree["audit"] |= {"below_confidence": 0.0, "modalities": [], "sample": 0.0}
    tree["destinations"] = [
        {
            "name": DESTINATION,
            "ae_title": AE_TITLE,
            "port": pacs,
            "commitment": True,
            "commitment_within": 4,
            "retry_first": 1,
        }
    ]
    for own in tree["models"].values():
        if isinstance(own, dict):
            own.pop("destinations", None)
    return tree


def toml(tree: Mapping[str, Any], above: str = "") -> str:
    """Write tables, lists of tables and plain values as TOML."""
    plain, tables = [], []
    for key, value in tree.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, Mapping):
            tables.append(f"\n[{name}]\n{toml(value, name)}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables += [f"\n[[{name}]]\n{toml(each, name)}" for each in value]
        elif value is not None:
            plain.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join((*plain, *tables))


def _is_ours(name: str) -> bool:
    return name.startswith("LIGHTBOX_")
