"""What ``lightbox explain`` writes is enough for anybody to compute the values again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pydicom
import pytest

from site_of_tests import MODELS, SAMPLES

PACKAGE = MODELS / "brain_tumour_mri"
SAMPLE = SAMPLES[0]


def explain(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    answer = folder / "answer.json"
    done = subprocess.run(
        [sys.executable, "-m", "lightbox", "explain", *arguments, "--model", "brain_tumour_mri",
         "--json", str(answer)],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "LIGHTBOX__MODELS__PATH": str(MODELS)},
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    assert "Traceback" not in done.stderr
    found: list[dict[str, Any]] = json.loads(answer.read_text())
    return found


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("audit")
    (answer,) = explain(folder, str(SAMPLE), "--method", "shapley", "--out", str(folder))
    return answer


def test_the_audit_is_exact_and_its_values_add_up(audit: dict[str, Any]) -> None:
    arrays = np.load(audit["files"]["npz"])
    assert audit["exact"]
    assert audit["evaluations"] == 4096
    assert arrays["values"].sum() == pytest.approx(arrays["v_full"] - arrays["v_empty"], abs=1e-9)
    assert not arrays["standard_errors"].any()


def test_the_game_can_be_played_again_with_onnxruntime_alone(audit: dict[str, Any]) -> None:
    arrays = np.load(audit["files"]["npz"])
    session = onnxruntime.InferenceSession(
        str(PACKAGE / "weights.onnx"), providers=["CPUExecutionProvider"]
    )

    def value(present: np.ndarray) -> float:
        keep = present[arrays["regions"]]
        image = np.where(keep, arrays["input"], arrays["baseline"][None]).astype(np.float32)
        logits = session.run(None, {session.get_inputs()[0].name: image})[0][0]
        scaled = np.exp((logits - logits.max()) / float(arrays["temperature"]))
        return float(scaled[int(arrays["target"])] / scaled.sum())

    n = len(arrays["values"])
    everyone = np.ones(n, bool)
    assert value(everyone) == pytest.approx(float(arrays["v_full"]), abs=1e-5)
    assert value(~everyone) == pytest.approx(float(arrays["v_empty"]), abs=1e-5)
    assert value(everyone) == pytest.approx(audit["confidence"], abs=1e-5)
    for player in range(n):
        without = everyone.copy()
        without[player] = False
        gone = float(arrays["v_full"]) - value(without)
        assert gone == pytest.approx(float(arrays["occlusion"][player]), abs=1e-5)


def test_the_map_in_source_pixels_is_the_value_of_each_region(audit: dict[str, Any]) -> None:
    arrays = np.load(audit["files"]["npz"])
    source = pydicom.dcmread(SAMPLE)
    assert arrays["attribution"].shape == (source.Rows, source.Columns)
    expected = arrays["values"][arrays["players"]].astype(np.float32)
    np.testing.assert_allclose(arrays["attribution"], expected)


def test_every_kind_of_result_is_written_and_absolute(audit: dict[str, Any]) -> None:
    assert {"npz", "png", "sc", "seg", "sr", "pm"} <= set(audit["files"])
    assert all(Path(path).is_absolute() and Path(path).exists() for path in audit["files"].values())


@pytest.mark.slow
def test_the_fast_map_lies_on_the_tumour_of_every_sample(tmp_path: Path) -> None:
    samples = PACKAGE / "samples"
    answers = explain(tmp_path, str(samples), "--mask", str(samples))
    assert len(answers) == len(list(samples.glob("*.dcm")))
    assert {(answer["method"], answer["refused"]) for answer in answers} == {("grad_cam", None)}
    assert np.median([answer["plausibility"]["mass"] for answer in answers]) > 0.3


def test_the_same_picture_stored_otherwise_gives_the_same_scores(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(SAMPLE)
    pixels = dataset.pixel_array.astype(np.uint16)
    scale = (2**16 - 1) // int(pixels.max())
    dataset.BitsStored, dataset.HighBit = 16, 15
    dataset.PixelData = (pixels * scale).astype("<u2").tobytes()
    dataset.WindowCenter, dataset.WindowWidth = 20000, 9000
    dataset.save_as(tmp_path / "otherwise.dcm")
    first, second = explain(tmp_path, str(SAMPLE), str(tmp_path / "otherwise.dcm"))
    assert second["scores"] == pytest.approx(first["scores"], abs=1e-3)


def test_what_the_model_is_not_made_for_is_refused_with_the_reason(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(SAMPLE)
    dataset.BodyPartExamined = "KNEE"
    dataset.save_as(tmp_path / "knee.dcm")
    (answer,) = explain(tmp_path, str(tmp_path / "knee.dcm"))
    assert "KNEE" in answer["refused"]
    assert answer["finding"] is None


def test_the_shipped_package_passes_its_own_check() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lightbox", "models", "check", str(PACKAGE)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_two_files_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    copies = []
    for number, sample in enumerate(SAMPLES[:2]):
        copies.append(tmp_path / str(number) / "IM1.dcm")
        copies[-1].parent.mkdir()
        copies[-1].write_bytes(sample.read_bytes())
    first, second = explain(tmp_path, *map(str, copies), "--out", str(tmp_path / "out"))
    assert not set(first["files"].values()) & set(second["files"].values())
    assert len(list((tmp_path / "out").glob("*.npz"))) == 2


def test_no_original_identifier_is_left_where_de_identification_was_asked_for(
    tmp_path: Path,
) -> None:
    source = pydicom.dcmread(SAMPLE)
    source.PatientName, source.PatientID = "Secret^Person", "SECRET-1"
    source.StudyDate, source.AccessionNumber = "19190303", "SECRET-2"
    named = tmp_path / "Secret^Person.dcm"
    source.save_as(named)
    out = tmp_path / "out"
    (answer,) = explain(tmp_path, str(named), "--deidentify", "--out", str(out))
    assert answer["refused"] is None
    assert {"npz", "png", "sc", "seg", "sr"} <= set(answer["files"])
    uids = [source[k].value for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    for path in map(Path, answer["files"].values()):
        assert "secret" not in path.name.casefold()
        content = path.read_bytes()
        for word in ("Secret", "SECRET", "19190303", *uids):
            assert word.encode() not in content, (path.name, word)
    assert answer["sop_instance_uid"] not in uids
