"""A model is replaced under a running service: no study is lost, and one command brings it back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightbox.infer.packages import load
from lightbox.tools.archive import Archive
from packages import a_package_folder
from site_of_tests import MODELS, SAMPLES, Site, answered

pytestmark = pytest.mark.slow

QUIET = """
[audit]
modalities = []
sample = 0
below_confidence = 0
[models.small]
audit_below = 0
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with one small model; another version of it lies elsewhere."""
    a_package_folder(tmp_path / "models")
    a_package_folder(tmp_path / "new", seed=1)
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, QUIET)
        text = site.config.read_text().replace(str(MODELS), str(tmp_path / "models"))
        site.config.write_text(text.replace('["brain_tumour_mri"]', '["small"]'))
        site.start()
        yield site
        site.service.stop()


def started_anew(site: Site, times: int) -> None:
    """Wait until control and work have started so many times more."""
    site.until(lambda _: site.log.read_text().count("starting it again") >= 2 * times)


def model_of_the_last(site: Site) -> str:
    jobs = [standing.job for study in site.studies() for standing in study.jobs]
    return max(jobs, key=lambda job: job.received_at).model_sha256


def test_studies_that_come_meanwhile_are_analysed_and_the_old_version_comes_back(
    site: Site, tmp_path: Path
) -> None:
    old, new = (load(tmp_path / at / "small").package.sha256 for at in ("models", "new"))
    assert site.send(SAMPLES[0]).returncode == 0
    site.until(answered(1))

    used = site.lightbox("models", "use", "small", str(tmp_path / "new" / "small"))
    assert used.returncode == 0, used.stderr
    assert f"from 1.2.0 ({old[:12]}) to 1.2.0 ({new[:12]})" in used.stdout
    shutil.rmtree(tmp_path / "new")
    assert site.send(SAMPLES[1]).returncode == 0  # while control and work start anew
    started_anew(site, 1)
    assert site.send(SAMPLES[2]).returncode == 0
    site.until(answered(3), 120)
    assert model_of_the_last(site) == new

    back = site.lightbox("models", "rollback", "small")
    assert back.returncode == 0, back.stderr
    started_anew(site, 2)
    assert site.send(SAMPLES[3]).returncode == 0
    account = site.until(answered(4), 120)
    assert model_of_the_last(site) == old
    assert len(account.studies()) == 4
    proof = site.prove()
    assert proof.ok, proof.problems
