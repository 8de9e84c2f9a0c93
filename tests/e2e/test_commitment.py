"""The whole service asks a real archive to keep its results, and says so where people look."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightbox.tools.orthanc import Orthanc, free_port, is_installed
from site_of_tests import SAMPLES, Site, answered


@pytest.fixture
def committing(tmp_path: Path) -> Iterator[Site]:
    if not is_installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    port = free_port()
    with Orthanc(tmp_path / "archive", peers={"LIGHTBOX": ("127.0.0.1", port)}) as archive:
        site = Site(tmp_path, archive, "commitment = true\n")
        site.config.write_text(
            site.config.read_text().replace(f"port = {site.dicom_port}", f"port = {port}")
        )
        site.dicom_port = port
        site.start()
        yield site
        site.service.stop()


def test_every_result_of_a_study_is_committed_after_a_restart_too(committing: Site) -> None:
    site = committing
    assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(1))
    site.kill()  # after C-STORE, before or amid the question
    site.start()
    site.until(lambda a: all(r.is_committed for s in a.studies() for r in s.results), 60)
    (study,) = site.studies()
    assert len(study.results) >= 2
    # what people look at follows the ledger within a moment
    site.until(lambda _: committed(site, study.study_instance_uid) == {True}, 10)
    proof = site.prove()
    assert proof.ok, proof.problems


def committed(site: Site, study_instance_uid: str) -> set[bool | None]:
    """Return what the API says of the results of the fast path."""
    with urllib.request.urlopen(f"{site.web}/api/studies/{study_instance_uid}") as answer:
        told = json.loads(answer.read())
    return {result["committed"] for result in told["results"] if result["path"] == "fast"}
