"""Control takes up another configuration; where that goes wrong on the way, it says how far."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.reload.accepted import kept
from lightbox.app.reload.renewal import Renewal
from lightbox.domain.errors import OperationError
from lightbox.domain.events import ConfigurationTaken
from lightbox.domain.operations import ALL, Request
from lightbox.settings import Settings, read

RELOAD = Request("reload", ALL, "anna", 1.0)


def test_what_could_not_be_given_to_the_other_processes_is_taken_up_by_the_next_reload(
    tmp_path: Path,
) -> None:
    file, root = tmp_path / "lightbox.toml", tmp_path / "data"
    file.write_text("[deadlines]\nSTAT = 2\n")
    ledger, took = FakeLedger(), list[Settings]()
    renewal = Renewal(root, read(str(file), {}), ledger, took.append, FakeClock(), {})
    file.write_text("[deadlines]\nSTAT = 3\n")
    with pytest.raises(OperationError, match=r"in force in part only.*free space"):
        renewal.reload(RELOAD)  # as on a full disk: there is no folder to write in
    assert not ledger.events
    root.mkdir()
    assert "deadlines.STAT" in renewal.reload(RELOAD).lines[0]
    assert [settings.deadlines.STAT for settings in took] == [3.0, 3.0]
    accepted = kept(root)
    assert accepted is not None
    assert accepted.loaded({}).settings.deadlines.STAT == 3.0
    (taken,) = ledger.events
    assert isinstance(taken, ConfigurationTaken)
    assert taken.by == "anna"
