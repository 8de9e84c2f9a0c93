"""The worker at its start: bad weights are found before the first patient is looked at (F25)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fakes.clock import FakeClock
from lightbox.app.clock import SystemClock
from lightbox.app.layout import Layout
from lightbox.app.processes.notices import Notices, condition_of
from lightbox.app.processes.working import _Place, _Use, _warm
from lightbox.domain.errors import OutOfServiceError
from lightbox.domain.urgency import Urgency
from lightbox.infer.packages import MANIFEST, WEIGHTS, digest
from lightbox.settings import Settings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage
from packages import a_manifest, a_package_folder


def warmed(root: Path, **audit: object) -> _Place:
    settings = Settings.model_validate(
        {
            "data_dir": str(root / "data"),
            "models": {"path": str(root / "models")},
            "worker": {"device": "cpu", "threads": 1},
            "audit": audit,
        }
    )
    at = Layout(root / "data")
    at.root.mkdir()
    notices = Notices(at.root, FolderStorage(at.root, Files()), SystemClock())
    return _warm(settings, at, notices, SystemClock())


def spoil(folder: Path, name: str, value: float) -> None:
    """Overwrite one of the network's constants; the manifest agrees with the file."""
    model = onnx.load_model_from_string((folder / WEIGHTS).read_bytes())
    for constant in model.graph.initializer:
        if constant.name == name:
            shape = numpy_helper.to_array(constant).shape
            constant.CopyFrom(numpy_helper.from_array(np.full(shape, value, np.float32), name))
    weights = model.SerializeToString()
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_text(a_manifest(weights))
    assert digest(weights) in (folder / MANIFEST).read_text()


@pytest.mark.parametrize(
    ("constant", "value", "words"),
    [
        ("matrix", 0.0, "gave two different images exactly one answer"),
        ("bias", np.nan, "answered with numbers that are not finite"),
        ("bias", 1e30, "answered with numbers far out of range"),
    ],
)
def test_a_network_with_bad_weights_is_out_of_service_from_the_start(
    tmp_path: Path, constant: str, value: float, words: str
) -> None:
    (tmp_path / "models").mkdir()
    spoil(a_package_folder(tmp_path / "models"), constant, value)
    place = warmed(tmp_path)
    with (
        pytest.raises(OutOfServiceError, match=f"3 unsound outputs: {words}"),
        place.breakers.asking("small"),
    ):
        pass
    assert words in condition_of(tmp_path / "data").out_of_service["small"]


def test_a_sound_network_serves_with_a_chunk_that_was_measured_and_says_where_it_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").mkdir()
    a_package_folder(tmp_path / "models")
    place = warmed(tmp_path)
    with place.breakers.asking("small"):
        pass
    ((digest, runtime),) = place.runtimes.items()
    assert digest == place.served.by_name["small"].sha256
    assert place.chunks[digest] % runtime.batch == 0
    found = condition_of(tmp_path / "data")
    assert found.devices == {"small": "cpu"}
    assert found.bounds == {"small": 0.25}
    assert not list(found.complaints(0.0))


def test_what_the_site_says_of_chunk_and_bound_counts(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    a_package_folder(tmp_path / "models")
    place = warmed(tmp_path, chunk=48, bound="100ms")
    assert list(place.chunks.values()) == [48]
    assert condition_of(tmp_path / "data").bounds == {"small": 0.1}


def test_the_use_of_the_device_is_told_about_once_a_second_and_none_of_it_is_lost() -> None:
    clock, told = FakeClock(), []
    use = _Use(lambda **said: told.append(said), clock)
    for _ in range(30):
        clock.advance(0.1)
        use.add(Urgency.AUDIT, 0.08)
    use.add(Urgency.STAT, 0.02)
    clock.advance(1.0)
    use.add(Urgency.ROUTINE, 0.03)
    assert sum(said["held"] for said in told if said["path"] == "audit") == pytest.approx(2.4)
    assert sum(said["held"] for said in told if said["path"] == "fast") == pytest.approx(0.05)
    assert len(told) <= 6
