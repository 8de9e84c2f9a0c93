"""A model is replaced in a running service: proven, copied, recorded, and brought back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOON, a_job
from fakes.ledger import FakeLedger
from lightbox.app import build
from lightbox.app.doorbell import Doorbell
from lightbox.app.models_in_force import copies_of
from lightbox.app.operate.replacement import Replacement
from lightbox.domain.errors import ConfigurationError, ModelPackageError, OperationError
from lightbox.domain.events import OperatorActed
from lightbox.domain.jobs import Job
from lightbox.domain.operations import Request
from lightbox.infer.packages import MANIFEST, load
from lightbox.infer.signatures.signed import SIGNATURE, signature_check
from lightbox.settings import ModelSettings, Settings
from packages import a_package_folder
from signing import a_key, signed_by_key


class Place:
    """A service of which only the part that replaces models runs, beside a supervisor's bell."""

    def __init__(self, root: Path) -> None:
        self.data, self.models = root / "data", root / "models"
        self.data.mkdir()
        self.ledger = FakeLedger()
        self.waiting: list[Job] = []
        self.bell = Doorbell(self.data, "supervisor")
        self.installed = a_package_folder(self.models)
        self.other = a_package_folder(root / "new", seed=1)
        self.signed_by = ""

    def settings(self) -> ModelSettings:
        given = {"path": str(self.models), "signed_by": self.signed_by}
        return ModelSettings.model_validate(given)

    def served(self) -> build.Packages:
        """What a process that starts now serves."""
        return build.packages(Settings(data_dir=str(self.data), models=self.settings()))

    def refused(self) -> ConfigurationError:
        """Why a process that starts now serves nothing."""
        with pytest.raises(ConfigurationError) as caught:
            self.served()
        return caught.value

    def replacement(self) -> Replacement:
        served = self.served().by_name.values()
        signatures = signature_check(self.settings())
        return Replacement(self.data, self.ledger, served, lambda: self.waiting, signatures)

    def use(self, folder: Path, name: str = "small") -> tuple[str, ...]:
        asked = Request("use", name, "tester", NOON + len(self.ledger.events), detail=str(folder))
        return self.replacement().use(asked).lines

    def roll_back(self, name: str = "small") -> tuple[str, ...]:
        asked = Request("rollback", name, "tester", NOON + len(self.ledger.events))
        return self.replacement().roll_back(asked).lines


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.bell.close()


def test_a_copy_is_served_the_old_one_beside_it_and_everybody_starts_anew(place: Place) -> None:
    old, new = load(place.installed).package.sha256, load(place.other).package.sha256

    lines = place.use(place.other)

    assert old[:12] in lines[0]
    assert new[:12] in lines[0]
    assert json.loads(place.bell.wait(1.0)[0]) == {"anew": ["control", "work"]}
    (acted,) = (e for e in place.ledger.events if isinstance(e, OperatorActed))
    assert (acted.action, acted.subject, acted.by) == ("use", "small", "tester")
    assert old[:12] in acted.detail
    assert new[:12] in acted.detail
    (place.other / "weights.onnx").unlink()  # the copy is what is served
    served = place.served()
    assert [each.package.sha256 for each in served.loaded] == [new]
    assert [each.package.sha256 for each in served.replaced] == [old]


def test_one_command_brings_the_old_one_back_and_the_new_one_stays_for_its_jobs(
    place: Place,
) -> None:
    old, new = load(place.installed).package.sha256, load(place.other).package.sha256
    place.use(place.other)

    place.roll_back()

    served = place.served()
    assert [each.package.sha256 for each in served.loaded] == [old]
    assert [each.package.sha256 for each in served.replaced] == [new]
    assert [each.package.sha256 for each in copies_of(place.data, "small")] == [new]
    with pytest.raises(OperationError, match="has not been replaced"):
        place.roll_back()


def test_what_is_not_right_replaces_nothing(place: Place, tmp_path: Path) -> None:
    other_name = a_package_folder(tmp_path / "others", name="other")
    begun = a_package_folder(tmp_path / "begun", seed=2)
    manifest = begun / MANIFEST
    manifest.write_text(manifest.read_text().replace('"Tests."', '"FILL IN"'))
    refused = [
        (OperationError, "is of the model other, not of small", place.use, other_name),
        (ModelPackageError, "still says FILL IN", place.use, begun),
        (ModelPackageError, "cannot be read", place.use, tmp_path),
    ]
    for kind, why, do, folder in refused:
        with pytest.raises(kind, match=why):
            do(folder)
    with pytest.raises(OperationError, match="model chest: is not served"):
        place.use(place.other, "chest")
    assert place.ledger.events == ()
    assert not (place.data / "models.json").exists()
    assert [each.folder for each in place.served().loaded] == [place.installed]


def test_a_version_whose_predecessors_jobs_wait_is_not_replaced_again(place: Place) -> None:
    old = load(place.installed).package.sha256
    place.use(place.other)
    place.waiting = [replace(a_job(model="small"), model_sha256=old)]

    with pytest.raises(OperationError, match="1 jobs of the version before wait still"):
        place.roll_back()


def test_a_damaged_copy_is_a_problem_and_the_installed_one_does_not_take_its_place(
    place: Place,
) -> None:
    a_package_folder(place.models, name="beside")
    place.use(place.other)
    (weights,) = (place.data / "models" / "small").glob("*/weights.onnx")
    weights.write_bytes(weights.read_bytes()[:-1])

    served = place.served()

    assert list(served.by_name) == ["beside"]
    assert "was changed: its SHA-256" in str(served.problems[0])


def test_without_a_supervisor_nobody_would_start_anew(place: Place) -> None:
    place.bell.close()
    with pytest.raises(OperationError, match="restart the service"):
        place.use(place.other)


def test_where_a_site_asks_for_signatures_nothing_unsigned_is_served_or_put_in_force(
    place: Place, tmp_path: Path
) -> None:
    private, public = a_key(tmp_path, "site")
    place.signed_by = str(public)
    assert "model.sig: is missing" in str(place.refused())
    signed_by_key(place.installed, private)
    with pytest.raises(ModelPackageError, match=r"model\.sig: is missing"):
        place.use(place.other)
    assert not any(isinstance(event, OperatorActed) for event in place.ledger.events)
    signed_by_key(place.other, private)

    place.use(place.other)

    (acted,) = (e for e in place.ledger.events if isinstance(e, OperatorActed))
    (serving,) = place.served().loaded
    assert serving.signer.startswith("key ")
    assert acted.detail.endswith(f", signed by {serving.signer}")
    (copy,) = (place.data / "models" / "small").glob(f"*/{SIGNATURE}")
    copy.unlink()
    assert "model.sig: is missing" in str(place.refused())
