"""A real archive beside the service: Orthanc on free loopback ports, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lightbox.domain.errors import UsageError

_START_SECONDS = 30.0
_STOP_SECONDS = 6.0
_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback: past the proxies of the environment."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that an archive holds."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str


def program() -> str:
    """Return the path of Orthanc, "" where it is not installed (Debian keeps it in /usr/sbin)."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
    return shutil.which("Orthanc", path=path) or ""


def is_installed() -> bool:
    """Say whether there is an Orthanc."""
    return bool(program())


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """Starts on entering, answers when entering returns, stops on leaving.

    Parameters
    ----------
    folder : Path
        For its database, configuration and log; what is stored outlives a stop and a start.
    ae_title : str
        Its AE title.
    peers : mapping of str to (str, int)
        AE title → (host, port) of the nodes that it knows; others may store nevertheless.
    options : mapping of str to object
        Of its configuration, over what stands here.
    environment : mapping of str to str
        Of its process, over ours.
    """

    def __init__(
        self,
        folder: Path,
        ae_title: str = "ORTHANC",
        peers: Mapping[str, tuple[str, int]] | None = None,
        options: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.ae_title = ae_title
        self.dicom_port = free_port()
        self._http_port = free_port()
        self._folder = folder
        self._peers = dict(peers or {})
        self._options = dict(options or {})
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[str, Stored] = {}

    @property
    def http_url(self) -> str:
        """Where its web pages and its REST interface are."""
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def stow_url(self) -> str:
        """Its DICOMweb root, "" without the plug-in."""
        return f"{self.http_url}/dicom-web" if _dicomweb() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers; nothing happens where it runs.

        Raises
        ------
        UsageError
            If it is not installed, or does not answer in time.
        """
        if self._process is not None:
            return
        if not is_installed():
            raise UsageError("Orthanc", "is not installed", "apt-get install orthanc")
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration(), indent=2), encoding="utf-8")
        with (self._folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # a fixed program, our own arguments
                [program(), str(configuration)], stdout=log, stderr=log, env=self._environment
            )
        self._wait()

    def stop(self) -> None:
        """Stop it; nothing happens where it does not run.

        Orthanc waits for open associations until they time out: whoever holds one that long finds
        it cut. What it had acknowledged is stored.
        """
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def instances(self) -> list[Stored]:
        """Return what it holds."""
        return [self._stored(row) for row in self._json("/instances")]

    def file(self, sop_instance_uid: str) -> bytes:
        """Return the file of an instance.

        Raises
        ------
        FileNotFoundError
            If it does not hold the instance.
        """
        return self._ask(f"{self._path(sop_instance_uid)}/file")

    def delete(self, sop_instance_uid: str) -> None:
        """Delete an instance, as a person at the archive could.

        Raises
        ------
        FileNotFoundError
            If it does not hold the instance.
        """
        self._ask(self._path(sop_instance_uid), method="DELETE")

    def _path(self, sop_instance_uid: str) -> str:
        for row in self._json("/tools/lookup", sop_instance_uid.encode()):
            if row["Type"] == "Instance":
                return str(row["Path"])
        raise FileNotFoundError(sop_instance_uid)

    def _configuration(self) -> dict[str, Any]:
        dicomweb = _dicomweb()
        return {
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomAlwaysAllowStore": True,
            "DicomCheckCalledAet": True,
            "DicomModalities": {
                name: [name, host, port] for name, (host, port) in self._peers.items()
            },
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "HttpThreadsCount": 4,
            "ConcurrentJobs": 1,
            "Plugins": [dicomweb] if dicomweb else [],
            "DicomWeb": {"Enable": bool(dicomweb)},
            **self._options,
        }

    def _wait(self) -> None:
        process = self._process
        pause = threading.Event()
        until = time.monotonic() + _START_SECONDS
        while process is not None and process.poll() is None and time.monotonic() < until:
            try:
                self._ask("/system")
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pause.wait(0.05)
            else:
                return
        self.stop()
        log = (self._folder / "orthanc.log").read_text(errors="replace").splitlines()
        said = next((line for line in reversed(log) if line.startswith("E")), "see its log")
        raise UsageError("Orthanc", f"does not start: {said}", str(self._folder / "orthanc.log"))

    def _stored(self, name: str) -> Stored:
        if name not in self._seen:
            row = self._json(f"/instances/{name}")
            sop_class = self._ask(f"/instances/{name}/metadata/SopClassUid").decode()
            study = self._json(f"/instances/{name}/study")
            self._seen[name] = Stored(
                str(row["MainDicomTags"]["SOPInstanceUID"]),
                sop_class.strip(),
                str(study["MainDicomTags"]["StudyInstanceUID"]),
            )
        return self._seen[name]

    def _json(self, path: str, data: bytes | None = None) -> Any:  # noqa: ANN401  # foreign JSON
        return json.loads(self._ask(path, data))

    def _ask(self, path: str, data: bytes | None = None, method: str | None = None) -> bytes:
        request = urllib.request.Request(f"{self.http_url}{path}", data, method=method)  # noqa: S310  # loopback
        with _OPENER.open(request, timeout=10) as answer:
            return bytes(answer.read())


def _dicomweb() -> str:
    found = (f for folder in _PLUGINS for f in Path(folder).glob("libOrthancDicomWeb.so*"))
    return str(next(found, ""))
