"""The whole service is killed ten times while DCMTK sends 500 instances each time."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from pydicom.uid import UID

from lightbox.domain.events import InstanceStored
from lightbox.ledger.timeline import LedgerReader
from lightbox.receive.stored_file import holds
from lightbox.tools.archive import Archive
from receiving import names, until
from site_of_tests import Site

KILLS = int(os.environ.get("LIGHTBOX_NEMESIS_KILLS", "10"))
INSTANCES = 500
SEED = int(os.environ.get("LIGHTBOX_NEMESIS_SEED", "9"))

pytestmark = pytest.mark.skipif(shutil.which("storescu") is None, reason="DCMTK is not installed")

_SENDING = re.compile(r"Sending file: (\S+)")
_TAKEN = "Received Store Response (Success)"


def written(folder: Path, kill: int) -> dict[str, str]:
    """Write the instances of one round; return file → SOP Instance UID."""
    folder.mkdir()
    image = pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    found = {}
    for uid in names(INSTANCES, str(kill)):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        file = folder / f"{uid}.dcm"
        image.save_as(file)
        found[str(file)] = uid
    return found


class Sender:
    """DCMTK's storescu, and which of its files it saw acknowledged."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._said = folder.with_suffix(".log")
        with self._said.open("wb") as log:
            self.process = subprocess.Popen(
                ["storescu", "-v", "-R", "-aec", "LIGHTBOX", "+sd", "127.0.0.1",
                 str(site.dicom_port), str(folder)],
                stdout=log, stderr=log,
            )  # fmt: skip

    def acknowledged(self) -> list[str]:
        """Return the files that it was told are stored."""
        return list(_acknowledged(self._said.read_text(errors="replace").splitlines()))


def _acknowledged(lines: list[str]) -> Iterator[str]:
    file = ""
    for line in lines:
        if sending := _SENDING.search(line):
            file = sending[1]
        elif _TAKEN in line and file:
            yield file
            file = ""


def stored(site: Site) -> dict[str, InstanceStored]:
    with closing(LedgerReader(site.data / "ledger")) as reader:
        rows = [row.event for row in reader.stream() if row.chain == "receive"]
    return {e.instance.sop_instance_uid: e for e in rows if isinstance(e, InstanceStored)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive)
        site.start()
        yield site
        site.service.stop()


@pytest.mark.slow
def test_ten_kills_while_dcmtk_sends_lose_nothing_and_the_ledger_proves(
    site: Site, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    draw = random.Random(SEED)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        folder = tmp_path / f"round{kill}"
        files = written(folder, kill)
        sender, after = Sender(site, folder), draw.randint(1, INSTANCES - 50)
        until(lambda s=sender, n=after: len(s.acknowledged()) >= n)  # type: ignore[misc]
        site.kill()
        sender.process.wait(60)
        acknowledged += [files[file] for file in sender.acknowledged()]
        site.start()
        rows = stored(site)
        for uid in acknowledged:
            assert uid in rows, (SEED, kill, uid)
            assert holds(site.data / rows[uid].instance.path, rows[uid].instance), (SEED, kill, uid)
        proved = site.lightbox("ledger", "prove")
        assert proved.returncode == 0, (SEED, kill, proved.stderr)
    figure(f"{KILLS} kills, {len(acknowledged)} acknowledged, 0 lost (seed {SEED})")
    assert len(acknowledged) >= KILLS
    one_row_is_deleted(site)


def one_row_is_deleted(site: Site) -> None:
    """What is missing in the chain is named, by chain and sequence."""
    site.service.stop()
    with closing(sqlite3.connect(site.data / "ledger" / "receive.sqlite")) as chain:
        (rows,) = chain.execute("SELECT count(*) FROM ledger").fetchone()
        chain.execute("DELETE FROM ledger WHERE sequence = ?", (rows // 2,))
        chain.commit()
    proved = site.lightbox("ledger", "prove")
    assert proved.returncode == 1
    assert f"chain receive, sequence {rows // 2} is missing" in proved.stderr
