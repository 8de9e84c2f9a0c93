"""Onboarding: every map measured on images, the best fit one written down as the default."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_images import a_file, a_picture, an_image
from lightbox.cli.main import run
from lightbox.domain.errors import UsageError
from lightbox.domain.model_package import BASELINES, FAST_METHODS, Measured
from lightbox.infer.graphs.randomised import layers_of, randomised
from lightbox.infer.packages import MANIFEST, load
from lightbox.tools.map_measures import STAGES, Onboarding
from lightbox.tools.model_check import map_methods, write_measured
from networks import a_pooled_classifier
from networks import run as run_network
from packages import a_package_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package with two images, one of which has a mask."""
    folder = a_package_folder(tmp_path)
    for number in range(2):
        levels = np.rint(np.roll(a_picture(), 9 * number, axis=1) * 255).astype(np.uint8)
        a_file(folder / "samples" / f"{number}.dcm", an_image(levels, {"InstanceNumber": number}))
    mask = np.zeros(a_picture().shape, np.uint8)
    mask[30:45, 5:20] = 255
    Image.fromarray(mask).save(folder / "samples" / "0.mask.png")
    return folder


def measured(method: str, *, merit: float = 0.1, randomisation: float = 0.0) -> Measured:
    return Measured(
        method=method, images=2, insertion=merit, deletion=0.0, randomisation=randomisation
    )


def an_onboarding(*maps: Measured) -> Onboarding:
    return Onboarding(maps, {}, {})


def test_every_map_and_baseline_is_measured_and_the_best_is_written_down(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "expected.json").write_text("{}")
    assert run(["models", "check", str(folder), "--measure", "--json"]) == 1  # it is not right yet
    assert "maps" not in json.loads(capsys.readouterr().out)

    from lightbox.settings import Settings
    from lightbox.tools.model_check import measure_package

    found = measure_package(folder, None, Settings())

    assert {each.method for each in found.maps} == set(map_methods()) > set(FAST_METHODS)
    for each in found.maps:
        assert each.images == 2
        assert each.pointing_game in {0.0, 1.0}
        assert each.mass is not None
        assert 0.0 <= each.mass <= 1.0
        assert -1.0 <= each.randomisation <= 1.0
        assert 1 <= len(found.randomisation[each.method]) <= STAGES
    assert set(found.baselines) == set(BASELINES) - {"background", "lesion_free"}
    if found.best is None:
        with pytest.raises(UsageError, match="no map is fit"):
            write_measured(folder, found)
        return
    assert write_measured(folder, found) == found.best.method
    explanation = load(folder).package.explanation
    assert explanation.method == found.best.method
    assert explanation.measured == found.maps


def test_the_default_is_the_fit_map_of_most_merit_not_the_one_of_habit(folder: Path) -> None:
    found = an_onboarding(
        measured("grad_cam", merit=0.1),
        measured("layer_cam", merit=0.3),
        measured("xgrad_cam", merit=0.5, randomisation=0.9),  # does not look at the weights
        measured("eigen_grad_cam", merit=0.9),  # not part of a graph
    )

    assert write_measured(folder, found) == "layer_cam"
    assert load(folder).package.explanation.method == "layer_cam"
    again = an_onboarding(measured("hires_cam", merit=0.2))
    assert write_measured(folder, again) == "hires_cam"
    text = (folder / MANIFEST).read_text()
    assert text.count("[[explanation.measured]]") == text.count("\n[explanation]\n") == 1
    assert load(folder).package.explanation.measured == again.maps


def test_a_table_between_other_tables_is_replaced_alone(folder: Path) -> None:
    manifest = folder / MANIFEST
    extra = '[explanation]\nbaseline = "mean"\nmethod = "layer_cam"\n\n[[metrics]]\nname = "a"\n'
    manifest.write_text(f'{manifest.read_text()}\n{extra}value = 0.5\ndata = "b"\n')

    write_measured(folder, an_onboarding(measured("grad_cam")))

    package = load(folder).package
    assert (package.explanation.baseline, package.explanation.method) == ("mean", "grad_cam")
    assert [metric.name for metric in package.metrics] == ["a"]


def test_where_no_map_is_fit_nothing_is_written(folder: Path) -> None:
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(UsageError, match="no map is fit: grad_cam: its map does not depend"):
        write_measured(folder, an_onboarding(measured("grad_cam", randomisation=0.8)))
    assert (folder / MANIFEST).read_bytes() == before


def test_weights_are_drawn_anew_from_the_logits_on() -> None:
    data = a_pooled_classifier()
    images = np.random.default_rng(0).standard_normal((2, 1, 16, 16)).astype(np.float32)
    assert layers_of(data, "test.onnx") == 2
    features, logits = [], []
    for layers in (1, 2):
        other = randomised(data, "test.onnx", layers, seed=0)
        assert other == randomised(data, "test.onnx", layers, seed=0)
        logits.append(run_network(other, ["logits"], image=images)[0])
        features.append(other)
    real = run_network(data, ["logits"], image=images)[0]
    assert not np.allclose(logits[0], real)
    assert not np.allclose(logits[1], logits[0])
