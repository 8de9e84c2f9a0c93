"""The stop switch is a file: it is read before every chunk and needs nothing else to work."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import NOON, a_job
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.operate.switch import Flag, Switch
from lightbox.app.turns import Brake
from lightbox.domain.errors import CancelledError, HeldError, OperationError, UsageError
from lightbox.domain.events import JobFailed
from lightbox.domain.result import ListedReason
from lightbox.storage.files import Files

ANNA = Flag("all", "anna", NOON)


@pytest.fixture
def switch(tmp_path: Path) -> Switch:
    return Switch(tmp_path, Files())


def test_stopping_twice_is_stopping_once_and_so_is_resuming(switch: Switch) -> None:
    assert switch.stop(ANNA)
    assert not switch.stop(Flag("all", "bert", NOON + 1))
    assert switch.flags() == (ANNA,)
    assert switch.resume(Flag("all", "bert", NOON + 2))
    assert not switch.resume(ANNA)
    assert switch.flags() == ()
    assert switch.lifted() == (Flag("all", "bert", NOON + 2),)


def test_a_file_made_by_hand_stops_and_a_hidden_one_does_not(
    switch: Switch, tmp_path: Path
) -> None:
    switch.prepare()
    (tmp_path / "stop" / ".all.123").touch()
    assert not switch.stops("chest_xray")
    (tmp_path / "stop" / "all").touch()
    assert switch.stops("chest_xray")


def test_a_switch_that_cannot_be_read_is_on(switch: Switch, tmp_path: Path) -> None:
    (tmp_path / "stop").write_text("not a folder")
    assert switch.stops("chest_xray")
    with pytest.raises(OperationError):
        switch.stop(ANNA)


@pytest.mark.parametrize("name", ["", "../lock", ".hidden", "a/b", "x" * 65])
def test_a_name_that_no_model_can_have_is_refused(switch: Switch, name: str) -> None:
    with pytest.raises(UsageError):
        switch.stop(Flag(name, "anna", NOON))


def test_a_job_is_held_while_its_model_is_stopped_and_ends_where_it_was_cancelled(
    switch: Switch, tmp_path: Path
) -> None:
    job, ledger = a_job(), FakeLedger()
    brake = Brake(ledger, tmp_path, FakeClock())
    brake.check(job)
    switch.stop(Flag(job.model, "anna", NOON))
    with pytest.raises(HeldError, match=job.model):
        brake.check(job)
    switch.resume(Flag(job.model, "anna", NOON))
    ledger.record(JobFailed(job.study_instance_uid, job.job_id, ListedReason.CANCELLED, "anna"))
    brake.hold(job)
    with pytest.raises(CancelledError):
        brake.check(job)
