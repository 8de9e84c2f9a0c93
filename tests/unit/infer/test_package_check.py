"""``models check``: one line per question, each with its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dicom_images import a_file, a_picture, an_image
from lightbox.infer.confidence import probabilities
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.package_check import CheckLine, check
from lightbox.infer.packages import CARD, EXPECTED, MANIFEST, LoadedPackage, load
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from packages import a_package_folder


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(processes=1) as one:
        yield one


def start(loaded: LoadedPackage) -> OnnxRuntime:
    return OnnxRuntime(loaded, device="cpu", threads=1)


@pytest.fixture
def folder(tmp_path: Path, pool: DecodePool) -> Path:
    """A package with one sample and what the model says about it."""
    folder = a_package_folder(tmp_path)
    levels = np.rint(a_picture() * 255).astype(np.uint8)
    path = a_file(folder / "samples" / "one.dcm", an_image(levels))
    loaded = load(folder)
    package = loaded.package
    with closing(pool.frames(FramesRequest(str(path), "", package.preprocessing))) as frames:
        logits = start(loaded).predict(next(frames).tensor).logits
    calibrated = probabilities(package, logits)[0]
    scores = {f.name: float(p) for f, p in zip(package.findings, calibrated, strict=True)}
    finding = package.finding(int(calibrated.argmax())).name
    say(folder, {"one.dcm": {"finding": finding, "scores": scores}})
    return folder


def say(folder: Path, samples: dict[str, object]) -> None:
    (folder / EXPECTED).write_text(json.dumps({"tolerance": 1e-3, "samples": samples}))


def failures(lines: list[CheckLine]) -> dict[str, str]:
    return {line.question: line.answer for line in lines if not line.passed}


def test_a_right_package_passes_every_question(folder: Path, pool: DecodePool) -> None:
    lines = check(folder, start, pool)

    assert failures(lines) == {}
    answers = {line.question: line.answer for line in lines}
    assert answers["shapes"] == "image 1 x 16 x 16; 3: normal, pneumonia, tumour"
    assert answers["target layer"] == "features (found), 8 x 8 cells, closed form"
    assert answers["fast map"].startswith("grad_cam, by habit: ")
    assert "sample one.dcm" in answers


def test_scores_that_are_not_reproduced_are_told(folder: Path, pool: DecodePool) -> None:
    said = json.loads((folder / EXPECTED).read_text())["samples"]["one.dcm"]
    said["scores"]["normal"] += 0.01
    say(folder, {"one.dcm": said})

    assert "off by 0.01 of 0.001" in failures(check(folder, start, pool))["sample one.dcm"]


def test_another_finding_is_told(folder: Path, pool: DecodePool) -> None:
    said = json.loads((folder / EXPECTED).read_text())["samples"]["one.dcm"]
    worst = min(said["scores"], key=lambda name: said["scores"][name])
    say(folder, {"one.dcm": {**said, "finding": worst}})

    assert f"expected {worst}" in failures(check(folder, start, pool))["sample one.dcm"]


def test_scores_of_other_findings_are_told(folder: Path, pool: DecodePool) -> None:
    say(folder, {"one.dcm": {"finding": "normal", "scores": {"normal": 1.0}}})

    said = failures(check(folder, start, pool))["sample one.dcm"]
    assert "expected scores of ['normal'], found ['normal', 'pneumonia', 'tumour']" in said


def test_a_sample_that_is_not_there_is_told(folder: Path, pool: DecodePool) -> None:
    said = json.loads((folder / EXPECTED).read_text())["samples"]["one.dcm"]
    say(folder, {"two.dcm": said})

    assert "cannot be read" in failures(check(folder, start, pool))["sample two.dcm"]


@pytest.mark.parametrize("text", ["", '{"samples": {}}', '{"sample": {}}'])
def test_expectations_that_say_nothing_are_refused(
    folder: Path, pool: DecodePool, text: str
) -> None:
    (folder / EXPECTED).write_text(text)

    assert failures(check(folder, start, pool))["expected"].startswith("expected.json: ")


def test_missing_papers_are_told(folder: Path, pool: DecodePool) -> None:
    (folder / EXPECTED).unlink()
    (folder / CARD).unlink()
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace('licence = "Apache-2.0"', 'licence = " "'))

    assert set(failures(check(folder, start, pool))) == {"expected", "card", "licence"}


def test_a_code_that_nobody_could_look_up_is_told(folder: Path, pool: DecodePool) -> None:
    manifest = (folder / MANIFEST).read_text()
    assert manifest.count('scheme = "SCT"')
    (folder / MANIFEST).write_text(manifest.replace('scheme = "SCT"', 'scheme = "SNOMED"', 1))
    said = failures(check(folder, start, pool))["code"]
    assert said.startswith("finding 'normal': 'SNOMED' is no designator of a coding scheme")
    assert "or one of your own that begins with 99" in said


@pytest.mark.parametrize("scheme", ["99OURS", "RADELEMENT", "I11", "BI"])
def test_a_code_of_the_standard_s_schemes_or_of_one_s_own_passes(
    folder: Path, pool: DecodePool, scheme: str
) -> None:
    manifest = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(manifest.replace('scheme = "SCT"', f'scheme = "{scheme}"', 1))
    assert failures(check(folder, start, pool)) == {}


def test_a_wrong_target_layer_is_told_before_anything_is_run(
    folder: Path, pool: DecodePool
) -> None:
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text() + '\n[explanation]\ntarget_layer = "layer4"\n')

    lines = check(folder, start, pool)

    assert "'layer4' is not a tensor" in failures(lines)["target layer"]
    assert not any(line.question.startswith("sample") for line in lines)


def test_a_package_that_cannot_be_loaded_is_one_line(tmp_path: Path, pool: DecodePool) -> None:
    (line,) = check(tmp_path, start, pool)

    assert not line.passed
    assert "model.toml: cannot be read" in line.answer
