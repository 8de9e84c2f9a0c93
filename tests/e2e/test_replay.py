"""A result is computed again, beside the running service and after it, and is the same object."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from lightbox.domain.jobs import JobPath
from lightbox.domain.standing import AuditState
from lightbox.tools.archive import Archive
from signing import a_key, signed_by_key
from site_of_tests import MODELS, SAMPLES, Site, answered, lightbox

ESTIMATED = """
[audit]
max_evaluations = 600
tolerance = 0.05
[models.brain_tumour_mri]
thresholds = { glioma = 0.995 }
"""
"""Twelve regions would be enumerated; an estimate is quicker, and has more that could differ."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("replayed")
    private, public = a_key(folder, "releases")
    signed = shutil.copytree(MODELS / "brain_tumour_mri", folder / "models" / "brain_tumour_mri")
    signed_by_key(signed, private)
    with Archive(folder / "archive") as archive:
        site = Site(folder, archive, ESTIMATED)
        ours = f'path = "{signed.parent}"\nsigned_by = "{public}"'
        site.config.write_text(site.config.read_text().replace(f'path = "{MODELS}"', ours))
        site.start()
        assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
        site.until(answered(1))
        site.until(lambda a: all(s.audit.state is AuditState.DONE for s in a.studies()), 150)
        yield site
        site.service.stop()


def replay(site: Site, uid: str, *options: str, **environ: str) -> dict[str, Any]:
    done = site.lightbox("replay", uid, "--json", *options, **environ)
    assert done.returncode == 0, done.stderr + done.stdout
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def results(site: Site, path: JobPath) -> dict[str, str]:
    """Kind → SOP Instance UID."""
    (study,) = site.studies()
    return {r.result.kind: r.result.sop_instance_uid for r in study.results if r.path is path}


def files(folder: Path) -> dict[str, str]:
    """Path → digest of every file that is not one of SQLite's own."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "-wal" not in path.name and "-shm" not in path.name
    }


@pytest.mark.parametrize("kind", ["sc", "seg"])
def test_a_fast_result_is_identical_beside_the_running_service(site: Site, kind: str) -> None:
    answer = replay(site, results(site, JobPath.FAST)[kind])
    assert answer["identical"]
    assert answer["object"]["stored"] == "as recorded"
    (run,) = answer["replays"]
    assert run["origin"] == "source"
    assert run["sha256"] == answer["object"]["sha256"]
    assert run["differences"] == []
    assert answer["version"]["then"] == answer["version"]["now"]


def test_an_audit_is_identical_from_its_values_and_from_scratch(site: Site) -> None:
    answer = replay(site, results(site, JobPath.AUDIT)["sc"], "--fresh")
    assert answer["method"] == "shapley"
    assert [run["origin"] for run in answer["replays"]] == ["recorded values", "source"]
    assert [run["values_computed"] for run in answer["replays"]] == [False, True]
    assert answer["identical"]


def test_the_recorded_parameters_count_not_those_of_today(site: Site) -> None:
    today = {"LIGHTBOX__AUDIT__TOLERANCE": "0.5", "LIGHTBOX__AUDIT__MAX_EVALUATIONS": "100"}
    assert replay(site, results(site, JobPath.AUDIT)["sc"], **today)["identical"]


def test_the_sites_threshold_stands_in_ledger_and_picture_and_that_of_then_counts(
    site: Site, tmp_path: Path
) -> None:
    (study,) = site.studies()
    picture = next(
        r.result for r in study.results if r.path is JobPath.FAST and r.result.kind == "sc"
    )
    comments = pydicom.dcmread(site.data / picture.path).ImageComments
    assert "under the site's threshold of > 99 %" in comments
    assert "Site threshold > 99 % (the model's: 50 %)" in comments
    told = site.lightbox("studies", study.study_instance_uid, "--json")
    assert '"thresholds"' in told.stdout
    today = tmp_path / "today.toml"
    today.write_text(site.config.read_text().replace("glioma = 0.995", "glioma = 0.1"))
    done = lightbox("-c", str(today), "replay", picture.sop_instance_uid, "--json")
    assert json.loads(done.stdout)["identical"], done.stderr


@pytest.mark.slow
def test_who_signed_the_model_stands_in_ledger_and_objects_and_who_had_counts(site: Site) -> None:
    (study,) = site.studies()
    told = json.loads(site.lightbox("models", "list", "--json").stdout)
    signer = told["models"][0]["signer"]
    assert signer.startswith("key ")
    assert (
        f'"signer": "{signer}"'
        in site.lightbox("studies", study.study_instance_uid, "--json").stdout
    )
    for made in (r.result for r in study.results):
        equipment = pydicom.dcmread(site.data / made.path).ContributingEquipmentSequence[0]
        assert f"1.0.0, signed by {signer}, target:" in equipment.ContributionDescription
        again = replay(site, made.sop_instance_uid, LIGHTBOX__MODELS__SIGNED_BY="")
        assert again["identical"]  # nobody is asked for a signature now


def test_a_result_that_nobody_made_is_said_to_be_none(site: Site) -> None:
    done = site.lightbox("replay", "1.2.3.4")
    assert done.returncode == 1
    assert "1.2.3.4: is not in this ledger" in done.stderr


def test_after_the_service_stopped_it_still_works_and_writes_nothing(site: Site) -> None:
    site.service.stop()
    before = files(site.data)
    for uid in (results(site, JobPath.FAST)["sc"], results(site, JobPath.AUDIT)["seg"]):
        done = site.lightbox("replay", uid)
        assert done.returncode == 0, done.stderr
        assert "identical: the same bytes" in done.stdout
    assert files(site.data) == before


def test_changed_weights_are_named_with_both_digests(site: Site, tmp_path: Path) -> None:
    shutil.copytree(MODELS / "brain_tumour_mri", tmp_path / "brain_tumour_mri")
    with (tmp_path / "brain_tumour_mri" / "weights.onnx").open("ab") as file:
        file.write(b"\0")
    uid = results(site, JobPath.FAST)["sc"]
    environ = {"LIGHTBOX__MODELS__PATH": str(tmp_path), "LIGHTBOX__MODELS__SIGNED_BY": ""}
    done = site.lightbox("replay", uid, **environ)
    assert done.returncode == 1
    assert "SHA-256" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_is_gone_is_named(site: Site, tmp_path: Path) -> None:
    uid = results(site, JobPath.FAST)["sc"]
    environ = {"LIGHTBOX__MODELS__PATH": str(tmp_path)}
    done = site.lightbox("replay", uid, **environ)
    assert done.returncode == 1
    assert "brain_tumour_mri" in done.stderr


def test_a_changed_or_missing_source_is_named(site: Site) -> None:
    (study,) = site.studies()
    path = site.data / study.instances[0].instance.path
    whole = path.read_bytes()
    uid = results(site, JobPath.FAST)["sc"]
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    changed = site.lightbox("replay", uid)
    path.unlink()
    gone = site.lightbox("replay", uid)
    path.write_bytes(whole)
    assert (changed.returncode, gone.returncode) == (1, 1)
    assert "has other bytes than were received" in changed.stderr
    assert "is gone" in gone.stderr
    assert replay(site, uid)["identical"]
