"""What the previous release left behind goes on in this one; so does a copy of it.

``tests/data/release-0.1.0.tar.xz`` is the data directory of release 0.1.0 after SIGTERM: one study
with everything delivered, one whose fast results no archive took yet and whose audit had begun.
Images: see models/brain_tumour_mri/samples.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightbox.domain.standing import AuditState, StudyStanding
from lightbox.tools.archive import Archive
from site_of_tests import Site, answered

AUDITS = "[audit]\nmax_evaluations = 2000\n"  # half of an exact one: two sites run theirs at once
RELEASE = Path(__file__).parents[1] / "data" / "release-0.1.0.tar.xz"
DELIVERED = "2.25.279967639476814154404552436383994003162"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with Archive(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory, archive: Archive) -> Iterator[Site]:
    """This release, started in what the previous one left."""
    site = Site(tmp_path_factory.mktemp("upgraded"), archive, AUDITS)
    with tarfile.open(RELEASE) as packed:
        packed.extractall(site.folder, filter="data")
    site.start()
    yield site
    site.service.stop()


def audits(site: Site) -> set[AuditState]:
    return {study.audit.state for study in site.studies()}


def by_uid(site: Site) -> dict[str, StudyStanding]:
    return {study.study_instance_uid: study for study in site.studies()}


def test_what_waited_for_an_archive_is_delivered(upgraded: Site) -> None:
    upgraded.until(answered(2))
    assert DELIVERED in by_uid(upgraded)
    (waited,) = set(by_uid(upgraded)) - {DELIVERED}
    held = set(upgraded.held())
    fast = {r.result.sop_instance_uid for r in by_uid(upgraded)[waited].results}
    assert fast <= held
    old = {r.result.sop_instance_uid for r in by_uid(upgraded)[DELIVERED].results}
    assert not old & held, "what was in the archive is not sent again"


def test_what_was_shown_is_still_shown(upgraded: Site) -> None:
    done = upgraded.lightbox("studies", DELIVERED, "--json")
    assert done.returncode == 0, done.stderr
    steps = [event["step"] for event in json.loads(done.stdout)["events"]]
    assert {"receive", "infer", "explain", "results", "deliver"} <= set(steps)


@pytest.fixture(scope="module")
def restored(
    upgraded: Site, tmp_path_factory: pytest.TempPathFactory, archive: Archive
) -> Iterator[Site]:
    """A site on a copy that was taken while an audit ran, after the machine itself was lost."""
    upgraded.until(lambda a: any(s.audit.state is AuditState.RUNNING for s in a.studies()))
    site = Site(tmp_path_factory.mktemp("restored"), archive, AUDITS)
    made = upgraded.lightbox("backup", str(site.data), "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["proof"]["ok"]
    again = upgraded.lightbox("backup", str(site.data))
    assert again.returncode == 0, again.stderr
    assert "proved" in again.stdout
    upgraded.kill()
    site.start()
    yield site
    site.service.stop()


def test_a_copy_goes_on_where_it_was_taken(restored: Site, upgraded: Site) -> None:
    restored.until(lambda a: all(s.audit.state is AuditState.DONE for s in a.studies()), 300)
    assert set(by_uid(restored)) == set(by_uid(upgraded))
    checked = restored.lightbox("ledger", "check", "--json")
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["unaccounted"] == 0


def test_a_copy_into_the_data_directory_is_refused(upgraded: Site) -> None:
    done = upgraded.lightbox("backup", str(upgraded.data / "copy"))
    assert done.returncode == 2
    assert "overlap" in done.stderr


def test_a_damaged_copy_is_found(restored: Site, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert restored.lightbox("backup", str(copy)).returncode == 0
    instance = next((copy / "instances").rglob("*.dcm"))
    content = bytearray(instance.read_bytes())
    content[-1] ^= 1
    instance.write_bytes(content)
    done = restored.lightbox("backup", str(copy))
    assert done.returncode == 1
    assert instance.name in done.stderr
