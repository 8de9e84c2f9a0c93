"""The walk of ``models/README.md``: a network that was never seen here, up to explained results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ComputedRadiographyImageStorage
from torch import nn

from dicom_images import a_file, a_picture, an_image
from lightbox.cli.main import run
from networks import (
    DenseNet,
    EfficientNet,
    ResNet,
    UNet,
    VisionTransformer,
    a_graph,
    a_pooled_classifier,
    an_outliner,
    exported,
    the_file,
)

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and a data directory of its own."""
    file = tmp_path / "lightbox.toml"
    file.write_text('data_dir = "data"\n[worker]\nthreads = 1\n[models]\npath = "models"\n')
    monkeypatch.setenv("LIGHTBOX_CONFIG", str(file))


def checks(folder: Path, capsys: Captured, *options: str, code: int = 0) -> dict[str, str]:
    """Question → answer, of those that failed or, where none did, of all."""
    assert run(["models", "check", str(folder), *options, "--json"]) == code
    told = json.loads(capsys.readouterr().out)["checks"]
    return {line["question"]: line["answer"] for line in told if line["passed"] is (code == 0)}


def fill_in(folder: Path) -> None:
    """Do what a person does: say what only people know, and bring a sample."""
    manifest, card = folder / "model.toml", folder / "CARD.md"
    text = manifest.read_text().replace('modality = ["FILL IN"]', 'modality = ["CR"]')
    text = text.replace("FILL IN", "Of these tests")
    manifest.write_text(text)
    card.write_text(card.read_text().replace("FILL IN", "Of these tests"))
    image = an_image((a_picture() * 255).astype(np.uint8), {"Modality": "CR", "PatientID": "1"})
    image.SOPClassUID = ComputedRadiographyImageStorage
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
    a_file(folder / "samples" / "one.dcm", image)


def images_like_it(folder: Path, seed: int) -> str:
    """Write images of the sample's scene, moved, and with more or less noise."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for number in range(80):
        moved = np.roll(a_picture() * 255, draw.integers(-4, 5, 2), (0, 1))
        noisy = np.clip(moved + draw.normal(0, 6 * draw.random(), moved.shape), 0, 255)
        image = an_image(noisy.astype(np.uint8), {"Modality": "CR"})
        image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
        a_file(folder / f"{number}.dcm", image)
    return str(folder)


def measures_and_ranges(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    """Take the steps that measure the maps and learn which images the network knows."""
    mask = np.zeros(a_picture().shape, np.uint8)
    mask[20:40, 10:30] = 255
    Image.fromarray(mask).save(folder / "samples" / "one.mask.png")
    capsys.readouterr()
    assert run(["models", "check", str(folder), "--measure", "--json"]) == 0
    maps = json.loads(capsys.readouterr().out)["maps"]
    assert {"grad_cam", "layer_cam"} <= {each["method"] for each in maps}
    assert all(0 <= each["mass"] <= 1 for each in maps)

    some, more = (images_like_it(tmp_path / f"of {seed}", seed) for seed in (2, 3))
    assert run(["models", "range", str(folder), "--images", some, "--validation", more]) == 0
    capsys.readouterr()
    assert "1 samples at" in checks(folder, capsys)["range"]


def walk(tmp_path: Path, network: nn.Module, capsys: Captured) -> dict[str, Any]:
    """Take every step of the walk; return what was read."""
    folder, onnx = (
        tmp_path / "models" / "unseen",
        the_file(tmp_path, exported(network, (3, 64, 64))),
    )

    assert run(["models", "new", str(folder), "--onnx", onnx, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["read"]["input"].startswith("3 x 64 x 64")
    assert told["read"]["outputs"] == "3 classes"
    assert {each["where"] for each in told["fill_in"]} >= {"model.toml", "samples/", "CARD.md"}

    unsaid = checks(folder, capsys, code=1)
    assert set(unsaid) == {
        "licence", "citation", "intended use", "accepts", "findings", "card", "expected",
    }  # fmt: skip
    assert unsaid["findings"].startswith("model.toml: findings[0].label and 8 more still say")
    assert unsaid["accepts"].startswith("model.toml: accepts.modality[0] still says FILL IN")

    assert run(["models", "list"]) == 1
    assert "still says FILL IN" in capsys.readouterr().err

    fill_in(folder)
    answers = checks(folder, capsys, "--write-expected")
    assert answers["sample one.dcm"].startswith("class_")
    assert checks(folder, capsys) == answers
    assert answers["accepts"] == "takes all of its samples (1)"

    figures = tmp_path / "bench.json"
    assert run(["models", "bench", str(folder), "--rounds", "2", "--json", str(figures)]) == 0
    whole, _, row, findings, maps, _ = json.loads(figures.read_text())["cases"]
    assert whole["name"] == "one image, from file to map"
    assert set(whole["peers"]) == {"bare", "bare after a decoding"}
    for timed in (whole, row):
        assert timed["ours"] > 0
        assert timed["peers"]["bare"] > 0
    assert findings["ours"] in {0.0, 100.0}  # of one sample
    passes = findings["ours"] >= 99 and maps["ours"] >= 0.98
    assert findings["note"].endswith("int8 keeps to both" if passes else "float32 is used")

    answer = tmp_path / "answer.json"
    arguments = ["--model", "unseen", "--out", str(tmp_path / "out"), "--json", str(answer)]
    assert run(["explain", str(folder / "samples" / "one.dcm"), *arguments]) == 0
    (explained,) = json.loads(answer.read_text())
    assert explained["refused"] is None
    assert set(explained["files"]) >= {"png", "sc", "sr"}
    return told


def test_a_resnet_that_was_never_seen_is_explained_in_six_commands(
    tmp_path: Path, capsys: Captured
) -> None:
    torch.manual_seed(1)
    layer = walk(tmp_path, ResNet(), capsys)["read"]["target layer"]
    assert "map, 8 x 8 cells, closed form" in layer


def an_inversion(size: int) -> bytes:
    """Return a graph that shows the network the negative: what no manifest can say."""
    shape = ("batch", 1, size, size)
    nodes = [
        helper.make_node("Neg", ["image"], ["negative"]),
        helper.make_node("Add", ["negative", "one"], ["shown"]),
    ]
    one = {"one": np.ones((1, 1, 1, 1), np.float32)}
    return a_graph(nodes, one, image=shape, logits=shape, output="shown")


def test_a_preprocessing_graph_runs_before_the_network_and_results_name_both(
    tmp_path: Path, capsys: Captured
) -> None:
    network, first = tmp_path / "network.onnx", tmp_path / "first.onnx"
    network.write_bytes(a_pooled_classifier())
    first.write_bytes(an_inversion(16))
    alone, both = tmp_path / "models" / "alone", tmp_path / "models" / "both"

    assert run(["models", "new", str(alone), "--onnx", str(network)]) == 0
    arguments = ["--onnx", str(network), "--preprocess", str(first)]
    assert run(["models", "new", str(both), *arguments]) == 0
    assert (both / "preprocess.onnx").read_bytes() == first.read_bytes()
    for folder in (alone, both):
        manifest = folder / "model.toml"
        # Stretched: what is padded around an image would be inverted, too.
        manifest.write_text(manifest.read_text().replace('fit = "pad"', 'fit = "stretch"'))
        fill_in(folder)
    capsys.readouterr()
    told = checks(both, capsys, "--write-expected")
    assert told["digest"].startswith("preprocess.onnx and weights.onnx are as stated; results name")
    assert told["digest"][-64:] not in checks(alone, capsys, "--write-expected")["digest"]
    assert checks(both, capsys) == told

    def explained(folder: Path, image: Path) -> dict[str, Any]:
        answer = tmp_path / f"{folder.name}.json"
        out = ["--out", str(tmp_path / "out"), "--json", str(answer)]
        assert run(["explain", str(image), "--model", folder.name, *out]) == 0
        (found,) = json.loads(answer.read_text())
        return dict(found)

    sample = both / "samples" / "one.dcm"
    negative = dcmread(sample)
    negative.PixelData = (255 - negative.pixel_array).astype(np.uint8).tobytes()
    negative.save_as(tmp_path / "negative.dcm")
    mine, theirs = explained(both, sample), explained(alone, tmp_path / "negative.dcm")
    assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-3)
    assert mine["scores"] != pytest.approx(explained(alone, sample)["scores"], abs=1e-3)
    (both / "preprocess.onnx").write_bytes(an_inversion(16) + b"\n")
    capsys.readouterr()
    changed = checks(both, capsys, code=1)
    assert "preprocess.onnx: was changed" in changed["package"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "found"),
    [
        (ResNet, "map, 8 x 8 cells, closed form"),
        (DenseNet, "map, 8 x 8 cells, closed form"),
        (EfficientNet, "map, 8 x 8 cells, closed form"),
        (VisionTransformer, "tokens, 8 x 8 cells, vjp"),
    ],
)
def test_so_is_each_family_its_maps_measured_and_its_range_learned(
    tmp_path: Path, capsys: Captured, network: type[nn.Module], found: str
) -> None:
    torch.manual_seed(1)
    assert found in walk(tmp_path, network(), capsys)["read"]["target layer"]
    measures_and_ranges(tmp_path / "models" / "unseen", tmp_path, capsys)


@pytest.mark.slow
def test_so_are_the_maps_and_the_range_of_a_segmentation_network(
    tmp_path: Path, capsys: Captured
) -> None:
    torch.manual_seed(1)
    folder = tmp_path / "models" / "outlines"
    onnx = the_file(tmp_path, exported(UNet(), (3, 64, 64)))
    assert run(["models", "new", str(folder), "--onnx", onnx]) == 0
    fill_in(folder)
    capsys.readouterr()
    checks(folder, capsys, "--write-expected")
    measures_and_ranges(folder, tmp_path, capsys)


def test_a_segmentation_network_goes_the_same_way_and_its_outline_is_a_segment(
    tmp_path: Path, capsys: Captured
) -> None:
    torch.manual_seed(1)
    folder = tmp_path / "models" / "outlines"
    onnx = the_file(tmp_path, exported(UNet(), (3, 64, 64)))
    assert run(["models", "new", str(folder), "--onnx", onnx, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["read"]
    assert told["outputs"] == "64 x 64 (an outline: segmentation)"
    assert "map, 16 x 16 cells, vjp" in told["target layer"]
    unsaid = checks(folder, capsys, code=1)
    assert unsaid["findings"].startswith("model.toml: findings[0].label and 5 more still say")

    fill_in(folder)
    answers = checks(folder, capsys, "--write-expected")
    assert "of it outlined" in answers["sample one.dcm"]
    assert answers["shapes"] == "image 3 x 64 x 64; outline of lesion, 64 x 64"
    expected = json.loads((folder / "expected.json").read_text())["samples"]["one.dcm"]
    assert 0 < expected["outlined"] < 1
    other = json.loads((folder / "expected.json").read_text())
    other["samples"]["one.dcm"]["outlined"] += 0.1
    (folder / "expected.json").write_text(json.dumps(other))
    assert "of it outlined, expected" in checks(folder, capsys, code=1)["sample one.dcm"]

    assert run(["models", "bench", str(folder), "--rounds", "2"]) == 0
    answer = tmp_path / "answer.json"
    arguments = ["--model", "outlines", "--out", str(tmp_path / "out"), "--json", str(answer)]
    assert run(["explain", str(folder / "samples" / "one.dcm"), *arguments]) == 0
    (explained,) = json.loads(answer.read_text())
    assert explained["refused"] is None
    assert explained["finding"] == "lesion"
    segments = dcmread(explained["files"]["lesion"])
    shown = segments.pixel_array
    lesion = shown if shown.ndim == 2 else shown[0]
    assert lesion.mean() == pytest.approx(expected["outlined"], abs=1e-3)

    mask = tmp_path / "mask.png"
    Image.fromarray(lesion.astype(np.uint8) * 255).save(mask)
    assert (
        run(["explain", str(folder / "samples" / "one.dcm"), *arguments, "--mask", str(mask)]) == 0
    )
    (explained,) = json.loads(answer.read_text())
    assert explained["outline"] == {"share": pytest.approx(lesion.mean()), "dice": 1.0}


def test_a_manifest_that_mistakes_the_networks_task_is_told(
    tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "models" / "outlines"
    onnx = the_file(tmp_path, an_outliner())
    assert run(["models", "new", str(folder), "--onnx", onnx]) == 0
    manifest = folder / "model.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace('task = "segmentation"', 'task = "classification"'))
    capsys.readouterr()
    said = checks(folder, capsys, code=1)["package"]
    assert "task: found 'classification', the network does segmentation" in said
    manifest.write_text(text.replace("negative = true", "negative = false"))
    assert (
        "findings: expected two of a segmentation model"
        in checks(folder, capsys, code=1)["package"]
    )


def test_a_package_whose_own_rules_refuse_its_samples_is_told(
    tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "models" / "unseen"
    onnx = the_file(tmp_path, a_pooled_classifier())
    assert run(["models", "new", str(folder), "--onnx", onnx]) == 0
    fill_in(folder)
    manifest = folder / "model.toml"
    manifest.write_text(manifest.read_text().replace('"CR"]', '"X-RAY"]'))
    capsys.readouterr()
    said = checks(folder, capsys, "--write-expected", code=1)
    assert set(said) == {"accepts"}
    assert "one.dcm would get no answer: Modality is CR, the model is for X-RAY" in said["accepts"]
