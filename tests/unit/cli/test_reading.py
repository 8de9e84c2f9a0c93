"""Commands that read: studies, ledger, models, methods and rules beside a service's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders import (
    NOON,
    a_job,
    a_placed_job,
    a_predicted,
    a_result,
    a_stored,
    a_uid,
    a_written,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.cli.main import run
from lightbox.domain.events import Delivered, InstanceListed, JobStarted
from lightbox.domain.result import ListedReason
from lightbox.ledger.sqlite_ledger import SqliteLedger

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A service that has delivered one instance, listed one, and has one in progress."""
    clock = FakeClock(NOON)
    ledger = SqliteLedger(tmp_path / "data" / "ledger", "receive", clock)
    first, second, third = (
        an_instance(str(number), study=a_uid("study", str(number))) for number in (1, 2, 3)
    )
    job = a_job(first)
    uid = a_result(job).sop_instance_uid
    clock.advance(1.5)
    ledger.record(
        a_stored(first),
        a_stored(second),
        a_stored(third),
        a_placed_job(first),
        JobStarted(job.study_instance_uid, job.job_id),
        a_predicted(job),
        a_written(job),
        Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 1),
        InstanceListed(
            second.study_instance_uid,
            second.sop_instance_uid,
            second.sha256,
            ListedReason.NO_MODEL,
            "made for other images",
        ),
    )
    ledger.close()
    file = tmp_path / "lightbox.toml"
    file.write_text('data_dir = "data"\n[[destinations]]\nname = "pacs"\nae_title = "PACS"\n')
    return str(file)


def answer(arguments: list[str], capsys: Captured, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_studies_lists_all_with_turnaround_and_verdict(config: str, capsys: Captured) -> None:
    studies = answer(["-c", config, "studies"], capsys)["studies"]
    assert len(studies) == 3
    done = next(s for s in studies if s["study_instance_uid"] == a_uid("study", "1"))
    assert (done["finding"], done["turnaround_s"], done["met"]) == ("pneumonia", 1.5, True)


def test_studies_is_a_table_of_tabs_in_a_pipe(config: str, capsys: Captured) -> None:
    assert run(["-c", config, "studies"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("\t")[:3] == ["received", "study", "urgency"]
    assert len(rows) == 3
    assert all(len(row.split("\t")) == 7 for row in rows)


def test_one_study_has_a_timeline(config: str, capsys: Captured) -> None:
    uid = a_uid("study", "1")
    told = answer(["-c", config, "studies", uid], capsys)
    assert [event["kind"] for event in told["events"]][:2] == ["instance_stored", "job_placed"]
    assert run(["-c", config, "studies", uid]) == 0
    text = capsys.readouterr().out
    assert "1.50 s of 300 s, in time" in text
    assert "delivered" in text


def test_a_study_that_no_model_fits_is_not_left_open(config: str, capsys: Captured) -> None:
    assert run(["-c", config, "studies", a_uid("study", "2")]) == 0
    said = capsys.readouterr().out
    assert "not analysed: no_model" in said
    assert "because      no_model: made for other images" in said


def test_an_unknown_study_is_a_negative_answer(config: str, capsys: Captured) -> None:
    assert run(["-c", config, "studies", "1.2.3"]) == 1
    assert "study 1.2.3: is not known here" in capsys.readouterr().err


def test_the_ledger_lists_every_instance_with_its_disposition(
    config: str, capsys: Captured
) -> None:
    listed = answer(["-c", config, "ledger", "list"], capsys)["instances"]
    assert [each["disposition"] for each in listed] == ["delivered", "listed", "in_progress"]
    assert listed[1]["reason"] == "no_model"
    assert run(["-c", config, "ledger", "list"]) == 0
    assert "no_model: made for other images" in capsys.readouterr().out


def test_the_ledger_proves(config: str, capsys: Captured) -> None:
    proof = answer(["-c", config, "ledger", "prove"], capsys)
    assert proof["ok"] is True
    assert proof["accepted"] == proof["delivered"] + proof["listed"] + proof["in_progress"] == 3
    assert run(["-c", config, "ledger", "prove"]) == 0
    assert "3 accepted = 1 delivered + 1 listed + 1 in progress" in capsys.readouterr().out


def test_a_check_misses_files_that_are_not_there(config: str, capsys: Captured) -> None:
    proof = answer(["-c", config, "ledger", "check"], capsys, code=1)
    assert proof["ok"] is False
    assert proof["problems"]


def test_without_a_ledger_the_mend_is_the_configuration(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX__DATA_DIR", str(tmp_path))
    assert run(["studies"]) == 2
    assert "holds no ledger (name the service's configuration with -c)" in capsys.readouterr().err


def test_methods_are_listed_with_what_they_need(capsys: Captured) -> None:
    cards = answer(["methods"], capsys)
    assert {"grad_cam", "shapley", "occlusion"} <= {card["name"] for card in cards}
    assert all(card["paper"] for card in cards)


def test_an_empty_models_folder_is_a_negative_answer(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX__MODELS__PATH", str(tmp_path))
    assert answer(["models", "list"], capsys, code=1)["models"] == []


def test_a_package_that_is_none_fails_its_check(tmp_path: Path, capsys: Captured) -> None:
    told = answer(["models", "check", str(tmp_path)], capsys, code=1)
    assert told["ok"] is False
    assert "model.toml" in told["checks"][0]["answer"]


def test_a_model_that_is_nowhere_is_wrong_use(capsys: Captured) -> None:
    assert run(["models", "check", "nonsense"]) == 2
    assert "model package 'nonsense'" in capsys.readouterr().err


def test_rules_say_what_a_file_would_meet_and_why(capsys: Captured) -> None:
    samples = sorted((Path(__file__).parents[3] / "models").glob("*/samples/*.dcm"))
    if not samples:
        pytest.skip("no model package with samples in this checkout")
    command = ["rules", "test", str(samples[0])]
    told = answer([*command, "--called", "LIGHTBOX_STAT"], capsys)[0]
    assert (told["urgency"], told["rule"]) == ("STAT", "called AE LIGHTBOX_STAT")
    assert told["deadline_s"] == 2.0
    assert run(command) == 0
    assert "ROUTINE\tdefault\t300 s" in capsys.readouterr().out


def test_rules_refuse_what_is_no_dicom_file(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "a.txt"
    file.write_text("no image")
    told = answer(["rules", "test", str(file)], capsys, code=1)
    assert "a.txt" in told[0]["refused"]
