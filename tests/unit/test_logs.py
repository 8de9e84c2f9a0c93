"""Logs: one line each, no patient, UIDs only as keyed hashes."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from builders import NOON, a_job, a_uid
from lightbox.domain.errors import DeliveryError
from lightbox.domain.events import AssociationReleased
from lightbox.logs import configure, hashed, key_of, log_association, log_job, logger
from lightbox.settings import Logging

KEY = b"k" * 32
CANARIES = ("CANARY^NAME", "CANARYID", "19700101", "CANARYACC", "Canary Street 1")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.captureWarnings(capture=False)
    for name in ("lightbox", "pydicom", "py.warnings"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def written(how: Logging | None = None, role: str = "receive") -> io.StringIO:
    stream = io.StringIO()
    configure(how or Logging(format="json"), role, KEY, stream)
    return stream


def test_attributes_of_the_patient_are_dropped_at_any_depth() -> None:
    stream = written(Logging(format="json", level="debug"))
    logger().debug(
        "header read",
        PatientName=CANARIES[0],
        patient_id=CANARIES[1],
        attributes={
            "PatientBirthDate": CANARIES[2],
            "AccessionNumber": CANARIES[3],
            "Modality": "MR",
            "RequestingPhysician": [CANARIES[0]],
        },
        PatientAddress=CANARIES[4],
        note="name CANARY^NAME^^DR is not kept",
    )
    text = stream.getvalue()
    assert not any(canary in text for canary in (*CANARIES, "CANARY"))
    assert json.loads(text)["attributes"] == {"Modality": "MR"}


def test_exceptions_do_not_carry_names_or_uids_either() -> None:
    stream = written()
    try:
        int(f"Canary John in {a_uid('study')}")
    except ValueError:
        logger().error("failed", exc_info=True)
    line = json.loads(stream.getvalue())
    assert line["exception"] == "ValueError"
    assert "test_logs.py" in line["where"]
    assert "Canary" not in stream.getvalue()
    assert a_uid("study") not in stream.getvalue()


def test_our_own_errors_are_quoted_for_they_name_no_patient() -> None:
    stream = written()
    error = DeliveryError("pacs", "does not answer", "start it")
    logger().error("failed", exc_info=error)
    assert json.loads(stream.getvalue())["exception"] == f"DeliveryError: {error}"


@pytest.mark.filterwarnings("always")
def test_libraries_that_quote_the_data_set_are_silent() -> None:
    stream = written(Logging(format="json", level="debug"))
    logging.getLogger("pydicom").warning("Invalid value for VR LO: Canary John")
    warnings.warn("The value 'Canary John' is too long", UserWarning, stacklevel=1)
    assert not stream.getvalue()


def test_a_uid_becomes_the_same_keyed_hash_in_values_and_messages() -> None:
    stream = written()
    uid = a_uid("study")
    logger().info(f"study {uid} is ready", study=uid, instances=[uid])
    line = json.loads(stream.getvalue())
    assert line["study"] == hashed(uid, KEY)
    assert line["event"] == f"study {hashed(uid, KEY)} is ready"
    assert line["instances"] == [hashed(uid, KEY)]
    assert hashed(uid, b"another") != hashed(uid, KEY)


def test_a_site_may_have_plain_uids() -> None:
    stream = written(Logging(format="json", uids="plain"))
    logger().info("ready", study=a_uid("study"))
    assert json.loads(stream.getvalue())["study"] == a_uid("study")


@pytest.mark.parametrize("version", ["1.31.0", "127.0.0.1", "1.1.1.1", "1.2.840.10008.5.1.4.1.1.4"])
def test_versions_and_addresses_are_not_taken_for_uids(version: str) -> None:
    stream = written()
    logger().info("at", value=version)
    assert json.loads(stream.getvalue())["value"] == version


@pytest.mark.parametrize("how", ["json", "console"])
def test_a_line_stays_one_line(how: str) -> None:
    stream = written(Logging.model_validate({"format": how}))
    logger().info("peer said", text='a\nb\x1b[31m"c"')
    assert stream.getvalue().count("\n") == 1
    assert "\x1b[31m" not in stream.getvalue()


def test_an_association_has_one_line_and_a_lost_one_is_a_warning() -> None:
    stream = written()
    event = AssociationReleased("a1", 3, "lost")
    log_association(event, calling_ae="CT1", called_ae="LIGHTBOX", peer="10.0.0.1", seconds=1.23456)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["instances"]) == ("association", "warning", 3)
    assert (line["role"], line["seconds"]) == ("receive", 1.235)


def test_a_job_has_one_line_that_says_whether_it_was_in_time() -> None:
    stream = written()
    job = a_job()
    log_job(job, "delivered", NOON + 2.0, finding="pneumonia", confidence=0.93)
    line = json.loads(stream.getvalue())
    assert line["met"] is True
    assert line["turnaround"] == 2.0
    assert line["study"] == hashed(job.study_instance_uid, KEY)
    assert line["finding"] == "pneumonia"


def test_less_severe_lines_are_left_out() -> None:
    stream = written(Logging(format="json", level="warning"))
    logger().info("ordinary")
    assert not stream.getvalue()


def test_our_modules_may_use_the_standard_logging_too() -> None:
    stream = written()
    try:
        int("Canary John")
    except ValueError:
        logging.getLogger("lightbox.deliver.send").exception("pacs: %s", a_uid("result"))
    line = json.loads(stream.getvalue())
    assert line["event"] == f"pacs: {hashed(a_uid('result'), KEY)}"
    assert line["exception"] == "ValueError"
    logging.getLogger("lightbox.deliver.send").info("ordinary")
    assert "ordinary" in stream.getvalue()


def test_warnings_of_libraries_go_the_same_way() -> None:
    stream = written()
    logging.getLogger("a_library").warning("odd value in %s", a_uid("study"))
    logging.getLogger("a_library").info("chatter")
    line = json.loads(stream.getvalue())
    assert line["event"] == f"odd value in {hashed(a_uid('study'), KEY)}"
    assert line["level"] == "warning"


def test_a_data_directory_keeps_its_key_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    key = key_of(tmp_path)
    assert len(key) == 32
    assert key_of(tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == ["log.key"]
    assert (tmp_path / "log.key").stat().st_mode & 0o077 == 0
