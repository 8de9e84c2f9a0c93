"""The site of deploy/docker, without containers: an archive that forwards, a root that is sealed.

Orthanc runs with the configuration and the forwarding rule that the compose file mounts; the
service sees a file system of which it may write its data directory and a place for scratch only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.tools.orthanc import Orthanc, free_port, is_installed
from lightbox.tools.service import Service
from site_of_tests import SAMPLES, Site, answered

DOCKER = Path(__file__).parents[2] / "deploy" / "docker"
SEALED = (
    "unshare", "-m", "sh", "-c",
    'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"',
)  # fmt: skip
"""Then the one folder that can be written, then the command."""


def can_be_sealed() -> bool:
    tried = subprocess.run([*SEALED, "/var", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def options(dicom_port: int, rule: Path) -> dict[str, object]:
    """What Orthanc of the compose file runs with, on this machine's ports."""
    given = dict(json.loads((DOCKER / "orthanc.json").read_text()))
    for key in ("PostgreSQL", "RegisteredUsers", "AuthenticationEnabled", "DicomPort"):
        del given[key]
    peers = given["DicomModalities"]
    there = {name: [title, "127.0.0.1", dicom_port] for name, (title, _, _) in peers.items()}
    return {**given, "LuaScripts": [str(rule)], "StableAge": 1, "DicomModalities": there}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not is_installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    folder: Path = tmp_path_factory.mktemp("site")
    shutil.copy(DOCKER / "forward.lua", folder)
    port = free_port()
    with Orthanc(folder / "archive", options=options(port, folder / "forward.lua")) as archive:
        site = Site(folder, archive)
        written = site.config.read_text().replace(str(site.dicom_port), str(port))
        site.config.write_text(written.replace("[dicom]", '[dicom]\naccept_calling = ["ORTHANC"]'))
        site.dicom_port = port
        site.data.mkdir()
        (site.data / "scratch").mkdir()
        sealed = (*SEALED, str(site.data), "env", f"TMPDIR={site.data}/scratch")
        site.service = Service(site.config, site.log, sealed if can_be_sealed() else ())
        site.service.start()
        yield site
        assert site.service.stop() == 0


def store(site: Site, file: Path) -> None:
    """Send to the archive, as a modality does."""
    done = subprocess.run(
        ["storescu", "-R", "-aec", "ORTHANC", "127.0.0.1", str(site.archive.dicom_port), str(file)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def get(url: str) -> list[dict[str, object]]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return list(json.load(answer))


def an_emergency(folder: Path) -> Path:
    dataset = pydicom.dcmread(SAMPLES[1])
    dataset.RequestedProcedurePriority = "STAT"
    dataset.save_as(folder / "stat.dcm")
    return folder / "stat.dcm"


def test_what_a_modality_stores_comes_back_explained(site: Site, tmp_path: Path) -> None:
    store(site, SAMPLES[0])
    store(site, an_emergency(tmp_path))
    site.until(answered(2))
    assert {study.urgency for study in site.studies()} == {"ROUTINE", "STAT"}
    for study in site.studies():
        for result in study.results:
            held = site.archive.file(result.result.sop_instance_uid)
            dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(held))
            assert dataset.StudyInstanceUID == study.study_instance_uid
            assert NOT_FOR_DIAGNOSIS in str(dataset).upper()


def test_results_are_not_forwarded_again(site: Site) -> None:
    """The rule leaves them out; those that come all the same are known for ours."""
    assert isinstance(site.archive, Orthanc)
    nap = threading.Event()
    while not all(one["IsStable"] for one in get(f"{site.archive.http_url}/series?expand")):
        nap.wait(0.2)  # Orthanc's own clock: a second after the last instance
    stored = site.archive.instances()
    made = {r.result.sop_instance_uid for study in site.studies() for r in study.results}
    assert made <= {one.sop_instance_uid for one in stored}
    assert len(tuple(site.until(lambda _: True).instances())) == 2


@pytest.mark.skipif(not can_be_sealed(), reason="no mount namespace can be made here")
def test_the_service_saw_a_root_that_cannot_be_written(site: Site) -> None:
    mounts = Path(f"/proc/{site.service.process.pid}/mounts").read_text().splitlines()
    root = next(line for line in mounts if line.split()[1] == "/")
    assert "ro" in root.split()[3].split(",")
    assert site.prove().ok
