"""``lightbox models range``: what a network knows is learned, checked, and kept to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dicom_images import a_file, a_picture, an_image
from lightbox.cli.main import run
from lightbox.domain.errors import ModelPackageError
from lightbox.infer.packages import MANIFEST, RANGE, load
from packages import a_package_folder

LEVELS = (a_picture() * 255).astype(np.uint8)


def write_images(folder: Path, count: int, seed: int) -> Path:
    """Write one scene, shifted and with a little noise."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    for number in range(count):
        noisy = np.roll(LEVELS, draw.integers(-4, 5, 2), (0, 1)) + draw.normal(0, 6, LEVELS.shape)
        image = an_image(np.clip(noisy, 0, 255).astype(np.uint8))
        image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
        a_file(folder / f"{number}.dcm", image)
    return folder


def config_in(folder: Path) -> str:
    file = folder / "lightbox.toml"
    file.write_text('data_dir = "data"\n[worker]\nthreads = 1\n[models]\npath = "models"\n')
    return str(file)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with two samples, what it says of them, and what it knows; images beside it."""
    root = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTBOX_CONFIG", config_in(root))
        folder = a_package_folder(root / "models")
        write_images(folder / "samples", 2, 1)
        (folder / "expected.json").unlink()
        assert run(["models", "check", str(folder), "--write-expected"]) == 0
        images = [write_images(root / name, 12, seed) for seed, name in ((2, "some"), (3, "more"))]
        options = ["--images", str(images[0]), "--validation", str(images[1])]
        for _ in range(2):  # the second time replaces what the first one wrote
            assert run(["models", "range", str(folder), *options]) == 0
    return root


@pytest.fixture
def folder(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that package, for one test."""
    shutil.copytree(learned, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("LIGHTBOX_CONFIG", config_in(tmp_path))
    return tmp_path / "models" / "small"


def explained(folder: Path, file: Path) -> dict[str, object]:
    answer = folder.parent / "answer.json"
    run(["explain", str(file), "--model", "small", "--json", str(answer)])
    (found,) = json.loads(answer.read_text())
    return dict(found)


def test_other_images_get_no_answer_and_the_reason_is_said(folder: Path) -> None:
    stated = load(folder).package.range
    assert stated is not None
    assert (stated.images, stated.data) == (12, "more, 99.5 % of 12 images are inside")
    assert explained(folder, folder / "samples" / "0.dcm")["refused"] is None

    draw = np.random.default_rng(0)
    other = an_image(draw.integers(0, 256, LEVELS.shape, dtype=np.uint8))
    other.StudyInstanceUID, other.SeriesInstanceUID = "2.25.1", "2.25.2"
    found = explained(folder, a_file(folder.parent / "other.dcm", other))

    assert found["confidence"] is None
    assert "is outside of the model's range: its features are " in str(found["refused"])


def test_images_that_it_learned_from_set_no_limit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some, stated = str(folder.parents[1] / "some"), (folder / MANIFEST).read_text()
    capsys.readouterr()
    assert run(["models", "range", str(folder), "--images", some, "--validation", some]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "12 of its 12 images are in " in line
    assert (folder / MANIFEST).read_text() == stated


def test_the_check_compares_samples_and_noise_with_the_limit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def line() -> tuple[bool, str]:
        run(["models", "check", str(folder), "--json"])
        told = json.loads(capsys.readouterr().out)["checks"]
        (said,) = (each for each in told if each["question"] == "range")
        return said["passed"], said["answer"]

    capsys.readouterr()
    passed, answer = line()
    assert passed, answer
    assert answer.startswith("2 samples at ")
    assert "noise at" in answer
    manifest = folder / MANIFEST
    stated = load(folder).package.range
    assert stated is not None
    text = manifest.read_text()
    for limit in ("0.01", "100000.0"):  # shuts out its own samples; lets noise in
        manifest.write_text(text.replace(f"threshold = {stated.threshold}", f"threshold = {limit}"))
        assert not line()[0]


def test_a_changed_or_foreign_file_is_refused(folder: Path) -> None:
    file, manifest = folder / RANGE, folder / MANIFEST
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ModelPackageError, match=r"range\.npz.* was changed.*range\.sha256"):
        load(folder)
    stated, file = manifest.read_text(), folder / RANGE
    file.write_bytes(b"no arrays")
    from lightbox.infer.packages import digest

    start = stated.index("[range]")
    head, tail = stated[:start], stated[start:].split("\n", 2)[2]
    manifest.write_text(f'{head}[range]\nsha256 = "{digest(b"no arrays")}"\n{tail}')
    with pytest.raises(ModelPackageError, match="is no file of a feature range"):
        load(folder)
