"""A whole site for end-to-end tests: a real archive, the service as processes, the ledger beside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightbox.domain.account import Account
from lightbox.domain.standing import StudyStanding
from lightbox.ledger.prove import Proof, prove
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from lightbox.tools.orthanc import Orthanc, free_port, is_installed
from lightbox.tools.service import Service

REPOSITORY = Path(__file__).parents[1]
MODELS = REPOSITORY / "models"
SAMPLES = sorted((MODELS / "brain_tumour_mri" / "samples").glob("*.dcm"))


class Site:
    """An archive and a service in one folder; the service can die and start again."""

    def __init__(self, folder: Path, archive: Orthanc | Archive, extra: str = "") -> None:
        self.folder = folder
        self.archive = archive
        self.dicom_port = free_port()
        self.web_port = free_port()
        self.config = folder / "lightbox.toml"
        self.log = folder / "service.log"
        self.data = folder / "data"
        self.config.write_text(
            f"""\
data_dir = "{self.data}"
[storage]
reserve = "100MB"
[dicom]
port = {self.dicom_port}
[web]
port = {self.web_port}
[studies]
quiet_period = "0.5s"
[models]
path = "{MODELS}"
enabled = ["brain_tumour_mri"]
[[destinations]]
name = "archive"
ae_title = "{archive.ae_title}"
port = {archive.dicom_port}
retry_first = "1s"
{extra}
"""
        )
        self.service = Service(self.config, self.log)
        self._account = Account(("archive",))
        self._reader: LedgerReader | None = None

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def start(self) -> None:
        self.service = Service(self.config, self.log)
        self.service.start()

    def kill(self) -> None:
        """``kill -9`` of every process of the service at once."""
        parent = self.service.process.pid
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False
        )
        children = [int(pid) for pid in listed.stdout.split()]
        for pid in (parent, *children):
            os.kill(pid, signal.SIGKILL)
        self.service.process.wait(10)
        self.service.stop()  # reads the rest of its log

    def child(self, role: str) -> int:
        """Process id of one role."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.service.process.pid)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return next(
            int(line.split()[0]) for line in listed.stdout.splitlines() if line.endswith(role)
        )

    def send(self, *files: Path, called: str = "LIGHTBOX") -> subprocess.CompletedProcess[str]:
        """Forward with DCMTK, as a PACS would."""
        return subprocess.run(
            ["storescu", "-R", "-aec", called, "-aet", "PACS", "127.0.0.1", str(self.dicom_port),
             *map(str, files)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def lightbox(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the service, with its configuration."""
        return lightbox("-c", str(self.config), *arguments, **environ)

    def until(self, done: Callable[[Account], bool], seconds: float = 60.0) -> Account:
        """Wait until the ledger says so."""
        if self._reader is None:
            self._reader = LedgerReader(self.data / "ledger")
        nap = threading.Event()
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            for recorded in self._reader.since(self._account.positions):
                self._account.apply(recorded)
            if done(self._account):
                return self._account
            nap.wait(0.05)
        studies = [(s.urgency, s.turnaround, s.audit.state) for s in self._account.studies()]
        raise AssertionError(
            f"not after {seconds:.0f} s: {studies}\n{self.log.read_text()[-3000:]}"
        )

    def studies(self) -> tuple[StudyStanding, ...]:
        return self.until(lambda _: True).studies()

    def prove(self) -> Proof:
        return prove(self.data / "ledger", ("archive",))

    def held(self) -> list[str]:
        """SOP Instance UIDs in the archive."""
        return [stored.sop_instance_uid for stored in self.archive.instances()]


@contextmanager
def a_running_site(folder: Path, extra: str = "") -> Iterator[Site]:
    """Give a site beside Orthanc that runs; without Orthanc the test is skipped."""
    if not is_installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    with Orthanc(folder / "archive") as archive:
        site = Site(folder, archive, extra)
        site.start()
        yield site
        site.service.stop()


def lightbox(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would, with more in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "lightbox", *arguments],
        capture_output=True, text=True, check=False, timeout=900, env={**os.environ, **environ},
    )  # fmt: skip


def answered(count: int) -> Callable[[Account], bool]:
    """True when so many studies have their fast results in the archive."""
    return lambda account: sum(s.turnaround is not None for s in account.studies()) >= count
