"""Several models look at one study: each has its own job and its own results, and none is mixed up.

One is a segmentation network, another one's maps are not fit to be shown: both in the service.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from lightbox.domain.account import Account
from lightbox.tools.archive import Archive
from lightbox.tools.localisation import mark
from packages import a_package_folder, a_segmentation_folder
from site_of_tests import MODELS, SAMPLES, Site

pytestmark = pytest.mark.slow

ROUTED = """
[audit]
modalities = []
sample = 0
below_confidence = 0
[models.small]
audit_below = 0
[models.outlines]
audit_below = 0
[models.brain_tumour_mri]
audit_below = 0
[[rules]]
name = "three at once"
when = { Modality = "MR" }
models = ["brain_tumour_mri", "outlines", "small"]
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with four models, three of which a rule asks."""
    models = tmp_path / "models"
    shutil.copytree(MODELS / "brain_tumour_mri", models / "brain_tumour_mri")
    a_segmentation_folder(models)
    mark(a_package_folder(models), "its maps miss the lesion: for this test")
    a_package_folder(models, name="not_asked", seed=1)
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, ROUTED)
        text = site.config.read_text().replace(str(MODELS), str(models))
        site.config.write_text(text.replace('enabled = ["brain_tumour_mri"]', ""))
        site.start()
        yield site
        site.service.stop()


def three_models_are_delivered(account: Account) -> bool:
    studies = account.studies()
    done = [job for study in studies for job in study.jobs if job.state.is_end]
    return len(done) == 3 and all(study.turnaround is not None for study in studies)


def test_each_model_that_a_rule_names_has_its_own_results_in_one_study(site: Site) -> None:
    assert site.send(SAMPLES[0]).returncode == 0
    (study,) = site.until(three_models_are_delivered).studies()

    assert {job.job.model for job in study.jobs} == {"brain_tumour_mri", "outlines", "small"}
    objects = defaultdict(list)
    for each in study.results:
        found = pydicom.dcmread(site.data / each.result.path)
        assert found.StudyInstanceUID == pydicom.dcmread(SAMPLES[0]).StudyInstanceUID
        objects[found.ManufacturerModelName].append((each.result.kind.value, found))
    kinds = {model: sorted(kind for kind, _ in made) for model, made in objects.items()}
    assert kinds["brain_tumour_mri"] == ["sc", "seg", "sr"]
    assert {"sc", "lesion", "sr"} <= set(kinds["outlines"])
    assert kinds["small"] == ["sc", "sr"]  # its maps are not fit to be shown
    series = {model: {str(o.SeriesInstanceUID) for _, o in made} for model, made in objects.items()}
    assert sum(map(len, series.values())) == len(set().union(*series.values()))
    comments = next(o.ImageComments for kind, o in objects["small"] if kind == "sc")
    assert "No map is shown: its maps miss the lesion" in comments
    segments = next(o for kind, o in objects["outlines"] if kind == "lesion")
    assert segments.pixel_array.any()

    assert set(site.held()) >= {str(o.SOPInstanceUID) for made in objects.values() for _, o in made}
    proof = site.prove()
    assert proof.ok, proof.problems
