"""What the doctor says of the configuration, the machine and the records."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders import NOON, a_job, a_stored, a_written, an_instance
from fakes.clock import FakeClock
from lightbox.cli.main import run
from lightbox.domain.events import DeadLettered, DeliveryDelayed, Event, JobPlaced
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.settings import Loaded, Settings
from lightbox.tools.doctor import Diagnosis, _ask, configuration
from lightbox.tools.doctor_checks import machine, records
from lightbox.tools.doctor_checks.finding import Finding, note, well, wrong
from lightbox.tools.doctor_checks.models import models
from packages import a_package_folder

ONE = an_instance()
JOB = a_job(ONE)
RESULT = a_written(JOB).results[0]
PACS = Settings.model_validate({"destinations": [{"name": "pacs", "ae_title": "PACS"}]})


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


def write(folder: Path, *events: Event, at: float = NOON) -> None:
    ledger = SqliteLedger(folder, "control", FakeClock(at))
    ledger.record(*events)
    ledger.close()


def tamper(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "control.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def test_notes_do_not_make_it_ill() -> None:
    assert Diagnosis((well("a", "fine"), note("b", "old", "renew"))).ok
    ill = Diagnosis((well("a", "fine"), wrong("b", "broken", "repair")))
    assert not ill.ok
    assert ill.as_json() == {
        "ok": False,
        "checks": [
            {"name": "a", "ok": True, "words": "fine", "mend": ""},
            {"name": "b", "ok": False, "words": "broken", "mend": "repair"},
        ],
    }


def test_a_question_that_cannot_be_asked_is_a_finding() -> None:
    def ask() -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/var/lib/lightbox/ledger")

    (only,) = _ask(("ledger", ask))
    assert not only.ok
    assert only.words == "/var/lib/lightbox/ledger: Permission denied"


# ------------------------------------------------------------------------------------ configuration
def test_a_rule_that_can_never_match_is_wrong() -> None:
    rule = {"name": "ed", "when": {"Modalty": "CR"}, "urgency": "STAT"}
    found = list(configuration(Loaded(settings(rules=[rule]), "", {})))
    assert [one.name for one in found if not one.ok] == ["configuration"]
    assert "Modalty" in found[0].words


def test_a_site_without_a_destination_is_told_so() -> None:
    found = list(configuration(Loaded(settings(), "lightbox.toml", {})))
    assert [one.verdict for one in found] == ["ok", "note"]
    assert found[0].words == "lightbox.toml: nothing is wrong"


# ------------------------------------------------------------------------------------------ machine
def test_a_disk_under_its_reserve_is_wrong(tmp_path: Path) -> None:
    (full,) = machine.disk(
        settings(data_dir=str(tmp_path / "not" / "yet"), storage={"reserve": 2**60})
    )
    assert not full.ok
    assert "0xA700" in full.words
    (empty,) = machine.disk(settings(data_dir=str(tmp_path), storage={"reserve": 0}))
    assert empty.ok


def test_a_data_directory_is_not_made_by_looking(tmp_path: Path) -> None:
    root = tmp_path / "data"
    found = list(machine.data_dir(settings(data_dir=str(root))))
    assert found[0].ok
    assert not root.exists()


def test_a_data_directory_open_to_others_is_a_note(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert next(machine.data_dir(settings(data_dir=str(tmp_path)))).verdict == "note"
    tmp_path.chmod(0o700)
    assert next(machine.data_dir(settings(data_dir=str(tmp_path)))).verdict == "ok"


def test_a_data_directory_that_is_a_file_is_wrong(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.touch(mode=0o600)
    (tmp_path / "data").chmod(0o600)
    found = next(machine.data_dir(settings(data_dir=str(root))))
    assert not found.ok


def test_without_dicom3tools_the_missing_check_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (only,) = machine.validation()
    assert only.verdict == "note"


# ------------------------------------------------------------------------------------------- models
def test_each_model_is_opened_and_a_changed_one_is_named(tmp_path: Path) -> None:
    a_package_folder(tmp_path, name="good")
    bad = a_package_folder(tmp_path, name="bad")
    (bad / "weights.onnx").write_bytes(b"something else")
    here = settings(models={"path": str(tmp_path)}, worker={"device": "cpu"})
    found = list(models(here))
    assert [one.verdict for one in found] == ["WRONG", "ok", "ok"]
    assert "was changed" in found[0].words
    assert found[1].words == "good 1.2.0 loads on cpu"
    assert found[2].name == "device"


def test_no_model_at_all_is_wrong(tmp_path: Path) -> None:
    (only,) = models(settings(models={"path": str(tmp_path)}))
    assert not only.ok


# ------------------------------------------------------------------------------------------ records
def test_the_newest_rows_of_an_untouched_ledger_are_intact(tmp_path: Path) -> None:
    write(tmp_path, *(a_stored(an_instance(str(n))) for n in range(3)))
    (only,) = records.ledger(tmp_path)
    assert only == well("ledger", "3 rows in 1 chains; the newest of each are intact")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE ledger SET study = 'x' WHERE sequence = 1", "sequence 1 is not the row"),
        ("UPDATE ledger SET study = 'x' WHERE sequence = 2", "sequence 2 is not the row"),
        ("DELETE FROM ledger WHERE sequence = 2", "sequence 3 is not the row"),
        ("DELETE FROM ledger WHERE sequence = 3", "sequence 3 is not the head"),
        ("DELETE FROM ledger", "sequence 3 was written and is gone"),
    ],
)
def test_a_row_that_was_changed_is_named(tmp_path: Path, statement: str, words: str) -> None:
    write(tmp_path, *(a_stored(an_instance(str(n))) for n in range(3)))
    tamper(tmp_path, statement)
    (only,) = records.ledger(tmp_path)
    assert not only.ok
    assert words in only.words


def test_a_clock_behind_the_ledger_was_set_back(tmp_path: Path) -> None:
    write(tmp_path, a_stored(ONE), at=NOON)
    (late,) = records.clock(tmp_path, FakeClock(NOON + 60))
    assert late.ok
    (early,) = records.clock(tmp_path, FakeClock(NOON - 3600))
    assert not early.ok
    assert early.words == "is 60 min behind the newest row of the ledger: it was set back"


def test_a_clock_that_went_back_between_two_rows_is_a_note(tmp_path: Path) -> None:
    write(tmp_path, a_stored(an_instance("1")), at=NOON)
    write(tmp_path, a_stored(an_instance("2")), at=NOON - 30)
    (only,) = records.clock(tmp_path, FakeClock(NOON + 1))
    assert only.verdict == "note"
    assert only.words == "went back by 30 s while the newest rows were written"


def test_dead_letters_are_counted_with_their_reason(tmp_path: Path) -> None:
    study, job, uid = ONE.study_instance_uid, JOB.job_id, RESULT.sop_instance_uid
    write(tmp_path, a_stored(ONE), JobPlaced(JOB), a_written(JOB))
    assert list(records.dead_letters(PACS, tmp_path)) == [well("dead letters", "none")]
    write(tmp_path, DeliveryDelayed(study, job, uid, "pacs", 1, "connection refused", NOON + 30))
    (waiting,) = records.dead_letters(PACS, tmp_path)
    assert waiting.verdict == "note"
    assert "1 results wait" in waiting.words
    write(tmp_path, DeadLettered(study, job, uid, "pacs", 2, "0xC000 Cannot understand"))
    (dead,) = records.dead_letters(PACS, tmp_path)
    assert not dead.ok
    assert "1 results were given up, most often: pacs: 0xC000 Cannot understand" in dead.words


def test_where_no_service_has_run_the_records_are_in_order(tmp_path: Path) -> None:
    none = tmp_path / "ledger"
    found = [*records.ledger(none), *records.clock(none, FakeClock())]
    found += records.dead_letters(PACS, none)
    assert [one.verdict for one in found] == ["ok", "ok", "ok"]
    assert not none.exists()


# -------------------------------------------------------------------------------------- the command
def test_a_configuration_that_cannot_be_read_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lightbox.toml"
    file.write_text("[dicom]\nprot = 1\n")
    assert run(["-c", str(file), "doctor", "--json"]) == 2
    assert "dicom.prot" in capsys.readouterr().err


def test_security_exits_1_with_a_weak_setting_and_0_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lightbox.toml"
    (tmp_path / "data").mkdir(mode=0o700)
    file.write_text(f'data_dir = "{tmp_path}/data"\n[models]\npath = "{tmp_path}"\n')
    tmp_path.chmod(0o700)
    file.chmod(0o600)
    assert run(["-c", str(file), "doctor", "--security", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    with file.open("a") as more:
        more.write('[logging]\nuids = "plain"\n')
    assert run(["-c", str(file), "doctor", "--security"]) == 1
    said = capsys.readouterr()
    assert "WRONG\tlogging.uids\t" in said.out
    assert said.err == "1 weak setting\n"
