"""A package is right, or one line says which key of which file is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.packages import BACKGROUND, MANIFEST, WEIGHTS, digest, find, load
from lightbox.infer.preprocess import background_bytes
from networks import a_pooled_classifier
from packages import a_manifest, a_package_folder


def replace_in_manifest(folder: Path, old: str, new: str) -> None:
    path = folder / MANIFEST
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelPackageError) as caught:
        load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


def test_a_package_is_loaded_with_weights_and_card(tmp_path: Path) -> None:
    loaded = load(a_package_folder(tmp_path, name="small"))

    assert loaded.package.name == "small"
    assert digest(loaded.weights) == loaded.package.sha256
    assert loaded.card.startswith("# A small network")


def test_a_misspelt_key_is_answered_with_the_right_one(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    replace_in_manifest(folder, "temperature =", "temperatures =")

    said = refusal(folder)

    assert "model.toml: calibration.temperatures: is not a known key" in said
    assert "did you mean temperature?" in said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("temperature = 2.0", "temperature = 0.0", "calibration.temperature: found 0.0, expected"),
        ("temperature = 2.0", 'temperature = "warm"', "found 'warm', expected a number"),
        ('licence = "Apache-2.0"\n', "", "licence: is missing"),
        (
            "[preprocessing]",
            "[preprocesing]",
            "preprocessing: is missing (is it preprocesing? rename it)",
        ),
        (
            "size = [16, 16]",
            "sise = [16, 16]",
            "preprocessing.size: is missing (is it preprocessing.sise?",
        ),
        ("size = [16, 16]", "size = 16", 'found 16, expected a list, such as ["A", "B"] or [1, 2]'),
        ('name = "small"', 'name = "No Name"', "name: found 'No Name', expected 2 to 32 of a-z"),
        ("size = [16, 16]", "size = [16]", "preprocessing.size"),
        (
            "channels = 1",
            "channels = 1\nmean = [0.1, 0.2]",
            "expected one per channel (1), found 2",
        ),
        (
            "channels = 1",
            "channels = 1\nstd = [0.0]",
            "preprocessing.std[0]: found 0.0, expected greater than 0",
        ),
        (
            "channels = 1",
            "channels = 1\npercentiles = [0.005, 0.995]",
            "percentiles[1]: found 0.995, expected greater than 50",
        ),
        (
            "channels = 1",
            "channels = 1\npercentiles = [99.5, 0.5]",
            "percentiles[0]: found 99.5, expected less than 50",
        ),
        (
            "negative = true",
            "threshold = 50",
            "findings[0].threshold: found 50, expected less than or equal to 1",
        ),
        (
            "[calibration]",
            "[explanation]\ngrid = [0, 3]\n[calibration]",
            "explanation.grid[0]: found 0, expected greater than 0",
        ),
        ('name = "tumour"', 'name = "normal"', "findings: names must differ"),
        ("[accepts]", "[accepts", "is not TOML"),
    ],
)
def test_a_wrong_value_names_the_key_and_what_was_found(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    folder = a_package_folder(tmp_path)
    replace_in_manifest(folder, old, new)

    assert expected in refusal(folder)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    (folder / WEIGHTS).write_bytes(a_pooled_classifier(seed=9))

    assert "weights.onnx: was changed: its SHA-256 is" in refusal(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = a_package_folder(tmp_path)
    (folder / name).unlink()

    assert f"{name}: cannot be read: no such file or directory" in refusal(folder)


def test_a_size_that_is_not_the_networks_is_refused(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    replace_in_manifest(folder, "size = [16, 16]", "size = [16, 24]")

    assert "are (1, 16, 24), the network's input is (1, 16, 16)" in refusal(folder)


def test_findings_must_be_as_many_as_outputs(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    weights = a_pooled_classifier(classes=2)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_text(a_manifest(weights))

    assert "findings: found 3, the network has 2 outputs" in refusal(folder)


def test_a_bad_package_is_reported_and_the_others_are_served(tmp_path: Path) -> None:
    a_package_folder(tmp_path, name="good")
    bad = a_package_folder(tmp_path, name="bad")
    replace_in_manifest(bad, "[calibration]", "[calibrations]")
    (tmp_path / "training").mkdir()

    found = find(tmp_path)

    assert [each.package.name for each in found.packages] == ["good"]
    assert [str(problem) for problem in found.problems] == [
        f"{bad / MANIFEST}: calibrations: is not a known key (did you mean calibration?)"
    ]


def test_only_enabled_packages_are_read(tmp_path: Path) -> None:
    a_package_folder(tmp_path, name="one")
    a_package_folder(tmp_path, name="two")

    found = find(tmp_path, ["two"])

    assert [each.package.name for each in found.packages] == ["two"]
    assert found.problems == ()


def a_demonstration(root: Path, name: str = "shown") -> Path:
    """Write a package that claims nothing."""
    folder = a_package_folder(root, name=name)
    text = (folder / MANIFEST).read_text()
    said = 'demonstration = "learned from 16 images"\n'
    (folder / MANIFEST).write_text(said + text)
    return folder


def test_a_demonstration_is_served_only_where_its_name_is_enabled(tmp_path: Path) -> None:
    a_package_folder(tmp_path, name="real")
    a_demonstration(tmp_path)

    by_itself = find(tmp_path)
    assert [each.package.name for each in by_itself.packages] == ["real"]
    assert by_itself.demonstrations == ("shown",)

    wanted = find(tmp_path, ["real", "shown"])
    assert [each.package.name for each in wanted.packages] == ["real", "shown"]
    assert wanted.demonstrations == ()

    asked = find(tmp_path, asked="shown")
    assert [each.package.name for each in asked.packages] == ["real", "shown"]


def test_a_broken_demonstration_that_nobody_asked_for_is_nobodys_problem(tmp_path: Path) -> None:
    a_package_folder(tmp_path, name="real")
    (a_demonstration(tmp_path) / WEIGHTS).write_bytes(b"changed")

    assert find(tmp_path).problems == ()
    assert len(find(tmp_path, ["shown"]).problems) == 1


def test_an_enabled_package_that_is_not_there_is_reported(tmp_path: Path) -> None:
    a_package_folder(tmp_path, name="chest_xray")

    found = find(tmp_path, ["chest_xrai"])

    assert found.packages == ()
    assert "did you mean chest_xray?" in str(found.problems[0])


def test_two_packages_with_one_name_are_not_both_served(tmp_path: Path) -> None:
    a_package_folder(tmp_path / "a", name="same").rename(tmp_path / "first")
    a_package_folder(tmp_path / "b", name="same").rename(tmp_path / "second")

    found = find(tmp_path)

    assert len(found.packages) == 1
    assert "'same' is also the name of" in str(found.problems[0])


MEASURED = """
[explanation]
method = "{chosen}"

[[explanation.measured]]
method = "layer_cam"
images = 40
pointing_game = 0.9
mass = 0.5
insertion = {insertion}
deletion = -0.1
randomisation = {randomisation}
"""


@pytest.mark.parametrize(
    ("insertion", "randomisation", "why"),
    [
        (0.2, 0.7, "does not depend on what the network learned"),
        (-0.3, 0.0, "no more faithful than chance"),
    ],
)
def test_a_method_that_was_measured_as_unfit_is_refused_as_the_default(
    tmp_path: Path, insertion: float, randomisation: float, why: str
) -> None:
    folder = a_package_folder(tmp_path)
    manifest = folder / MANIFEST
    text = manifest.read_text()
    figures = {"insertion": insertion, "randomisation": randomisation}

    manifest.write_text(text + MEASURED.format(chosen="layer_cam", **figures))
    assert why in (said := refusal(folder))
    assert "explanation.method: layer_cam is unfit" in said
    manifest.write_text(text + MEASURED.format(chosen="grad_cam", **figures))
    assert load(folder).package.explanation.measured[0].unfit


def test_a_method_that_cannot_be_part_of_the_graph_is_no_default(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text() + '\n[explanation]\nmethod = "eigen_grad_cam"\n')

    assert "found 'eigen_grad_cam', expected 'grad_cam', " in refusal(folder)


def with_background(folder: Path, data: bytes, *, baseline: str = "lesion_free") -> None:
    (folder / BACKGROUND).write_bytes(data)
    manifest = folder / MANIFEST
    stated = f'background_sha256 = "{digest(data)}"'
    manifest.write_text(
        manifest.read_text() + f'\n[explanation]\nbaseline = "{baseline}"\n{stated}\n'
    )


def test_background_images_are_read_as_the_network_sees_them(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    unit = np.random.default_rng(0).random((3, 16, 16))
    with_background(folder, background_bytes(unit, unit > 0.9))

    background = load(folder).background

    assert background is not None
    assert background.images.shape == (3, 1, 16, 16)
    assert background.images[:, 0] == pytest.approx(unit, abs=0.002)
    assert np.array_equal(background.lesions, unit > 0.9)


def test_changed_or_foreign_background_images_are_refused(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    with_background(folder, background_bytes(np.zeros((1, 8, 8)), np.zeros((1, 8, 8), bool)))
    assert "expected uint8 of shape (images, 16, 16)" in refusal(folder)
    (folder / BACKGROUND).write_bytes(b"other")
    assert "background.npz: was changed" in refusal(folder)


def test_a_baseline_that_needs_background_images_needs_their_digest(tmp_path: Path) -> None:
    folder = a_package_folder(tmp_path)
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text() + '\n[explanation]\nbaseline = "background"\n')

    assert "explanation.background_sha256: expected the digest" in refusal(folder)
