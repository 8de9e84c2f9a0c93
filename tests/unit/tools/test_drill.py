"""The drill's own parts: its report, its one trace in the ledger, its wire, its configuration."""

from __future__ import annotations

import json
import os
import socket
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from lightbox.app.processes.supervisor import lock_data_dir
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.events import OperatorActed
from lightbox.domain.operations import Request
from lightbox.ledger.prove import Proof, prove
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import LedgerReader
from lightbox.settings import Settings
from lightbox.tools.drill.finding import Finding, Seen
from lightbox.tools.drill.note import note
from lightbox.tools.drill.report import html_text, json_text
from lightbox.tools.drill.run import FAULTS, Drill
from lightbox.tools.drill.sandbox import _changed, toml
from lightbox.tools.drill.wire import LostAnswer

NOON = 1_790_000_000.0
PROOF = Proof(
    ok=True, rows=9, chains={"control": 9}, accepted=2, delivered=1, listed=1, in_progress=0,
    unaccounted=0, problems=(),
)  # fmt: skip
GOOD = Finding(
    "F7", "A disk", "did", "expected", Seen("3 of 3", passed=True, figures={"n": 3}), 2.0
)
BAD = replace(GOOD, fault="F28", seen=Seen("<b>1 lost</b>", passed=False))


def a_drill(*findings: Finding, proof: Proof = PROOF) -> Drill:
    said = {"name": "pacs1", "system": "Linux", "processor": "x86_64", "python": "3.11"}
    config = {"effective_sha256": "ab" * 32, "file": "/etc/lightbox.toml", "file_sha256": "cd" * 32}
    models = {"brain": "1.0.0"}
    return Drill(NOON, 61.0, "anna", said, config, models, findings or (GOOD,), proof)


def test_one_fault_that_ends_otherwise_fails_the_drill_and_is_named() -> None:
    whole = a_drill(*(replace(GOOD, fault=fault.number) for fault in FAULTS))
    assert (whole.passed, whole.verdict) == (True, "passed")
    assert (a_drill(GOOD, BAD).passed, a_drill(GOOD, BAD).verdict) == (False, "failed: F28")


def test_a_drill_of_some_faults_only_says_which() -> None:
    assert (a_drill(GOOD).passed, a_drill(GOOD).verdict) == (True, "passed: F7 only")
    assert "passed: F7 only" in html_text(a_drill(GOOD).as_json(), "ef" * 32)


def test_a_ledger_that_does_not_prove_fails_the_drill() -> None:
    broken = replace(PROOF, ok=False, problems=("row 3 is gone",))
    assert a_drill(GOOD, proof=broken).verdict == "failed: ledger"
    assert "row 3 is gone" in html_text(a_drill(GOOD, proof=broken).as_json(), "ef" * 32)


def test_the_report_says_who_when_where_what_and_how_it_ended() -> None:
    report = a_drill(GOOD, BAD).as_json()
    page = html_text(report, "ef" * 32)
    for words in (
        "anna", "2026-09-21T14:13:20+00:00", "pacs1", "/etc/lightbox.toml", "cd" * 32, "ef" * 32,
        "F7", "did", "expected", "3 of 3", "1 of 2 faults", "FAILED",
    ):  # fmt: skip
        assert words in page, words
    assert "<b>1 lost" not in page, "what was seen is text"
    assert json.loads(json_text(report)) == report
    assert [fault["verdict"] for fault in report["faults"]] == ["passed", "failed"]


def test_the_six_faults_of_the_matrix_are_held_and_the_stop_is_last() -> None:
    assert [fault.number for fault in FAULTS] == ["F7", "F12", "F20", "F28", "F30", "F33"]


# ------------------------------------------------------------------------------ its one trace
REQUEST = Request("drill", "passed", "anna", NOON, detail="ef" * 32)


def test_without_a_service_the_drill_is_one_event_and_the_ledger_proves(tmp_path: Path) -> None:
    SqliteLedger(tmp_path / "ledger", "control", FakeClock(NOON)).close()
    assert note(tmp_path, REQUEST, FakeClock(NOON)) == "in the ledger"
    reader = LedgerReader(tmp_path / "ledger")
    (row,) = reader.since({})
    reader.close()
    assert row.event == OperatorActed("drill", "passed", "anna", NOON, detail="ef" * 32)
    assert prove(tmp_path / "ledger", ("pacs",)).ok


def test_where_no_service_ever_ran_nothing_is_made(tmp_path: Path) -> None:
    assert "no service has ever run" in note(tmp_path, REQUEST, FakeClock(NOON))
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_is_just_starting_is_not_disturbed(tmp_path: Path) -> None:
    SqliteLedger(tmp_path / "ledger", "control", FakeClock(NOON)).close()
    clock = FakeClock(NOON)
    lock = lock_data_dir(tmp_path, clock)
    try:
        with pytest.raises(ConfigurationError, match="in use by another lightbox"):
            note(tmp_path, REQUEST, clock)
    finally:
        os.close(lock)
    assert prove(tmp_path / "ledger", ("pacs",)).rows == 0


# ------------------------------------------------------------------------------- its sandbox
def test_the_sandbox_has_the_sites_rules_and_none_of_its_neighbours() -> None:
    site = Settings.model_validate(
        {
            "data_dir": "/var/lib/lightbox",
            "dicom": {"host": "0.0.0.0", "accept_calling": ["CT1"]},
            "web": {"host": "0.0.0.0", "token": "secret-of-the-site"},
            "destinations": [{"name": "pacs", "ae_title": "PACS", "token": "secret-of-the-site"}],
            "webhooks": [{"name": "ris", "url": "https://ris", "secret": "secret-of-the-site"}],
            "rules": [{"name": "ed", "when": {"Modality": ["CR"]}, "urgency": "STAT"}],
            "models": {"brain": {"audit_below": 0.5, "destinations": ["pacs"]}},
        }
    )
    text = toml(_changed(site, Path("/sandbox/data"), 1, 2))
    assert "secret-of-the-site" not in text
    changed = Settings.model_validate(tomllib.loads(text))
    assert changed.rules == site.rules
    assert changed.deadlines == site.deadlines
    assert changed.data_dir == "/sandbox/data"
    assert (changed.dicom.host, changed.web.host) == ("127.0.0.1", "127.0.0.1")
    assert [each.name for each in changed.destinations] == ["drill"]
    assert changed.webhooks == ()
    assert changed.models.__pydantic_extra__["brain"].destinations == ()
    assert changed.models.__pydantic_extra__["brain"].audit_below == 0.5


def test_the_wire_passes_everything_on_and_swallows_the_first_answer() -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as service:

        def answer() -> None:
            peer, _ = service.accept()
            with peer:
                heard.append(peer.recv(100))
                peer.sendall(b"\x02\x00\x00\x00\x00\x02ac" + b"\x04\x00\x00\x00\x00\x04data")
                heard.append(peer.recv(100))

        thread = threading.Thread(target=answer)
        thread.start()
        with (
            LostAnswer(service.getsockname()[1]) as wire,
            socket.create_connection(("127.0.0.1", wire.port)) as sender,
        ):
            sender.sendall(b"request")
            came = b""
            while more := sender.recv(100):
                came += more
        thread.join(10)
    assert heard == [b"request", b""]
    assert came == b"\x02\x00\x00\x00\x00\x02ac"
    assert wire.swallowed == 1
