"""A model's file changes under a running service: it keeps what it verified, and loads nothing else
(F26)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightbox.tools.archive import Archive
from site_of_tests import MODELS, SAMPLES, Site, answered

pytestmark = pytest.mark.slow

NAME = "brain_tumour_mri"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A running site with a copy of the model; nothing is audited."""
    shutil.copytree(MODELS / NAME, tmp_path / "models" / NAME)
    with Archive(tmp_path / "archive") as archive:
        audits = "[audit]\nmodalities = []\nsample = 0\nbelow_confidence = 0\n"
        site = Site(tmp_path, archive, audits)
        text = site.config.read_text()
        site.config.write_text(text.replace(str(MODELS), str(tmp_path / "models")))
        site.start()
        yield site
        site.service.stop()


def models_are_loaded(site: Site) -> bool:
    try:
        with urllib.request.urlopen(site.web + "/readyz", timeout=10) as answer:
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        said = json.load(error)
    checks = {check["name"]: check["is_ok"] for check in said["checks"]}
    return bool(checks["models"])


def test_a_running_service_keeps_the_copy_that_it_verified_and_a_new_start_refuses_another(
    site: Site,
) -> None:
    weights = site.folder / "models" / NAME / "weights.onnx"
    right = weights.read_bytes()
    damaged = bytearray(right)
    damaged[len(damaged) // 2] ^= 1
    weights.write_bytes(damaged)
    assert site.send(SAMPLES[0]).returncode == 0
    account = site.until(answered(1))
    (job,) = account.studies()[0].jobs
    loaded = job.job.model_sha256

    os.kill(site.child("work"), signal.SIGKILL)
    site.until(lambda _: "was changed: its SHA-256" in site.log.read_text())
    assert not models_are_loaded(site)
    assert site.send(SAMPLES[1], called="LIGHTBOX_STAT").returncode == 0
    account = site.until(lambda a: sum(bool(study.jobs) for study in a.studies()) == 2)
    assert sum(study.turnaround is not None for study in account.studies()) == 1

    weights.write_bytes(right)
    account = site.until(answered(2), 90)
    assert {job.job.model_sha256 for study in account.studies() for job in study.jobs} == {loaded}
    assert models_are_loaded(site)
    proof = site.prove()
    assert proof.ok, proof.problems
