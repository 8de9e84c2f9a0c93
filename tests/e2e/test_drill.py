"""A drill beside a running service: it passes, it can fail, and production does not notice."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from lightbox.domain.events import OperatorActed
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site, answered

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Archive(tmp_path / "archive") as archive:
        one = Site(tmp_path, archive)
        one.start()
        yield one
        one.service.stop()


def drill(site: Site, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return site.lightbox("drill", "--out", str(site.folder / "report"), *arguments, **environment)


def of_drills(site: Site) -> list[OperatorActed]:
    reader = LedgerReader(site.data / "ledger")
    rows = reader.since({})
    reader.close()
    events = [row.event for row in rows if isinstance(row.event, OperatorActed)]
    return [event for event in events if event.action == "drill"]


def test_a_drill_passes_and_leaves_one_event(site: Site) -> None:
    assert site.send(SAMPLES[0]).returncode == 0
    site.until(answered(1))
    before = {path.name for path in site.folder.iterdir()}
    accepted = site.prove().accepted
    done = drill(site)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (site.folder / "report" / "report.json").read_text()
    report = json.loads(text)
    assert report["passed"]
    assert [fault["fault"] for fault in report["faults"]] == [
        "F7",
        "F12",
        "F20",
        "F28",
        "F30",
        "F33",
    ]
    assert "PASSED" in (site.folder / "report" / "report.html").read_text()
    (event,) = of_drills(site)
    assert (event.subject, event.detail) == ("passed", sha256(text.encode()).hexdigest())
    assert {path.name for path in site.folder.iterdir()} == before | {"report"}
    proof = site.prove()
    assert proof.ok
    assert proof.accepted == accepted
    ours = {r.result.sop_instance_uid for s in site.studies() for r in s.results}
    assert set(site.held()) <= ours  # its audit may have ended meanwhile; nothing of a drill's
    assert site.send(SAMPLES[1]).returncode == 0
    site.until(answered(2))


def test_a_system_that_believes_its_disk_fails(site: Site, tmp_path: Path) -> None:
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import lightbox.receive.stored_file as file\nfile.holds = lambda *_: True\n"
    )
    done = drill(site, "--only", "F7", PYTHONPATH=str(patch))
    assert done.returncode == 1
    assert done.stdout.startswith("failed: F7: ")
    (event,) = of_drills(site)
    assert event.subject == "failed: F7"
