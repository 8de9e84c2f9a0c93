"""Commands about models and rules, on a small real package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ComputedRadiographyImageStorage

from dicom_images import a_file, a_picture, an_image
from lightbox.cli import display
from lightbox.cli.main import run
from lightbox.infer.packages import MANIFEST
from packages import a_package_folder
from signing import a_key, signed_by_key

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A site with one model for CR and MR and one rule."""
    a_package_folder(tmp_path / "models")
    file = tmp_path / "lightbox.toml"
    file.write_text(
        'data_dir = "data"\n[[rules]]\nname = "ed"\nwhen = { StationName = "^ED" }\n'
        'urgency = "STAT"\n'
    )
    return str(file)


def answer(arguments: list[str], capsys: Captured, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def a_picture_of(path: Path, **attributes: str) -> str:
    image = an_image((a_picture() * 255).astype(np.uint8), attributes)
    if attributes["Modality"] == "CR":
        image.SOPClassUID = ComputedRadiographyImageStorage
    return str(a_file(path / "image.dcm", image))


def test_packages_are_listed_with_what_they_find(config: str, capsys: Captured) -> None:
    told = answer(["-c", config, "models", "list"], capsys)
    assert [model["name"] for model in told["models"]] == ["small"]
    assert run(["-c", config, "models", "list"]) == 0
    assert "small\t1.2.0\tCR, MR\tinstance\tnormal, pneumonia, tumour" in capsys.readouterr().out


def test_the_demo_names_a_model_that_is_not_there(
    config: str, tmp_path: Path, capsys: Captured
) -> None:
    assert run(["-c", config, "demo", "--model", "chest", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "--model chest: is no package in" in said
    assert "lightbox models list" in said
    assert not (tmp_path / "out").exists()


def test_a_broken_package_is_listed_as_a_problem(
    config: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "models" / "small" / "weights.onnx").write_bytes(b"changed")
    told = answer(["-c", config, "models", "list"], capsys, code=1)
    assert "was changed" in told["problems"][0]
    assert run(["-c", config, "models", "list"]) == 1
    assert "was changed" in capsys.readouterr().err


def test_a_demonstration_is_listed_as_not_served_until_its_name_is_enabled(
    config: str, tmp_path: Path, capsys: Captured
) -> None:
    manifest = a_package_folder(tmp_path / "models", name="shown") / MANIFEST
    manifest.write_text('demonstration = "learned from 16 images"\n' + manifest.read_text())

    told = answer(["-c", config, "models", "list"], capsys)
    assert [model["name"] for model in told["models"]] == ["small"]
    assert told["demonstrations"] == ["shown"]
    assert run(["-c", config, "models", "list"]) == 0
    assert "shown: a demonstration, served only where [models] enabled" in capsys.readouterr().err

    text = Path(config).read_text()
    Path(config).write_text(text + '[models]\nenabled = ["shown"]\n')
    told = answer(["-c", config, "models", "list"], capsys)
    assert [model["name"] for model in told["models"]] == ["shown"]
    assert told["demonstrations"] == []


def test_a_package_is_found_by_its_name_and_each_question_answered(
    config: str, capsys: Captured
) -> None:
    told = answer(["-c", config, "models", "check", "small"], capsys, code=1)
    answers = {line["question"]: line["passed"] for line in told["checks"]}
    assert answers["digest"]
    assert not answers["expected"]  # it has no samples
    assert run(["-c", config, "models", "check", "small"]) == 1
    assert "FAILED\texpected" in capsys.readouterr().out


def test_where_a_site_asks_for_signatures_each_package_says_whose_it_is(
    config: str, tmp_path: Path, capsys: Captured
) -> None:
    private, _ = a_key(tmp_path, "site")
    with Path(config).open("a") as stream:
        stream.write('[models]\nsigned_by = "site.pub"\n')
    unsigned = answer(["-c", config, "models", "check", "small"], capsys, code=1)
    assert "model.sig: is missing" in unsigned["checks"][0]["answer"]

    signed_by_key(tmp_path / "models" / "small", private)

    told = answer(["-c", config, "models", "check", "small"], capsys, code=1)
    (line,) = (each for each in told["checks"] if each["question"] == "signature")
    (listed,) = answer(["-c", config, "models", "list"], capsys)["models"]
    assert line["passed"]
    assert line["answer"] == f"every file is signed by {listed['signer']}"


def test_a_rule_decides_and_is_named(config: str, tmp_path: Path, capsys: Captured) -> None:
    image = a_picture_of(tmp_path, Modality="CR", StationName="ED1")
    told = answer(["-c", config, "rules", "test", image], capsys)[0]
    assert (told["urgency"], told["rule"], told["deadline_s"]) == ("STAT", "rule ed", 2.0)
    assert told["models"] == [{"name": "small", "runs": True, "reason": None}]
    assert told["audit"] == ["small is less than 85 % confident", "random sample of 2 %"]


def test_an_image_of_another_kind_meets_no_model_and_hears_why(
    config: str, tmp_path: Path, capsys: Captured
) -> None:
    image = a_picture_of(tmp_path, Modality="US")
    told = answer(["-c", config, "rules", "test", image], capsys)[0]
    assert told["models"][0]["runs"] is False
    assert "US" in told["models"][0]["reason"]
    assert told["audit"] == []
    assert run(["-c", config, "rules", "test", image]) == 0
    assert "not small:" in capsys.readouterr().out


def test_an_audit_that_is_sure_to_come_is_said_so(
    config: str, tmp_path: Path, capsys: Captured
) -> None:
    image = a_picture_of(tmp_path, Modality="CR")
    command = ["-c", config, "rules", "test", image]
    told = answer([*command, "--called", "LIGHTBOX_AUDIT"], capsys)[0]
    assert told["audit"] == ["always: called AE LIGHTBOX_AUDIT"]
    told = answer([*command, "--priority", "high"], capsys)[0]
    assert (told["urgency"], told["rule"]) == ("HIGH", "DIMSE priority HIGH")


def test_a_table_on_a_terminal_keeps_long_identifiers_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    uid = "2.25." + "1234567890" * 4
    display.show_table(("Name", "UID", "Note"), [("a", uid, None)])
    shown = capsys.readouterr().out
    assert uid in "".join(shown.split())
    assert "\N{EN DASH}" in shown
