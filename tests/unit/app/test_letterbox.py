"""A command asks, control answers; whoever waits in vain knows whether anything was done."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from builders import NOON
from fakes.clock import FakeClock
from lightbox.app.clock import SystemClock
from lightbox.app.doorbell import Doorbell
from lightbox.app.operate.letterbox import PATIENCE, Letterbox, ask
from lightbox.domain.errors import OperationError
from lightbox.domain.operations import Outcome, Request
from lightbox.storage.files import Files

REQUEST = Request("retry", "1.2.3", "anna", NOON)


class Impatient(FakeClock):
    """Every look at this clock takes a while."""

    def monotonic(self) -> float:
        self.advance(PATIENCE / 3)
        return super().monotonic()


def a_box(root: Path) -> Letterbox:
    box = Letterbox(root, Files(), SystemClock())
    box.prepare()
    return box


def test_the_answer_reaches_the_command_and_nothing_is_left(tmp_path: Path) -> None:
    box, asked = a_box(tmp_path), list[Request]()

    def perform(request: Request) -> Outcome:
        asked.append(request)
        return Outcome(is_done=True, lines=("done",))

    bell = Doorbell(tmp_path, "control")

    def answer() -> None:
        while not asked:
            bell.wait(1.0)
            box.look(perform)

    control = threading.Thread(target=answer)
    control.start()
    outcome = ask(tmp_path, REQUEST, Files(), SystemClock())
    control.join(5.0)
    bell.close()
    assert outcome == Outcome(is_done=True, lines=("done",))
    assert asked == [REQUEST]
    assert list((tmp_path / "operations").iterdir()) == []


def test_without_a_service_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="no service runs here"):
        ask(tmp_path, REQUEST, Files(), SystemClock())
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_nobody_takes_is_withdrawn(tmp_path: Path) -> None:
    box, bell = a_box(tmp_path), Doorbell(tmp_path, "control")
    with pytest.raises(OperationError, match="nothing was done"):
        ask(tmp_path, REQUEST, Files(), Impatient())
    bell.close()

    def perform(request: Request) -> Outcome:
        raise AssertionError(request)

    box.look(perform)
    assert list((tmp_path / "operations").iterdir()) == []


def test_what_cannot_be_done_or_read_is_answered_in_words(tmp_path: Path) -> None:
    box = a_box(tmp_path)

    def refuse(request: Request) -> Outcome:
        raise OperationError(request.subject, "is not known here", "see: lightbox studies")

    folder = tmp_path / "operations"
    (folder / "1.json").write_text("{")
    (folder / "2.json").write_text(
        '{"action": "retry", "subject": "1.2.3", "by": "anna", "at": 1.0}'
    )
    box.look(refuse)
    assert "same version" in (folder / "1.answer").read_text()
    assert "is not known here" in (folder / "2.answer").read_text()


def test_a_disk_that_fails_meanwhile_is_not_called_a_request_that_cannot_be_read(
    tmp_path: Path,
) -> None:
    box = a_box(tmp_path)

    def fail(_: Request) -> Outcome:
        raise OSError(28, "No space left on device")

    asked = '{"action": "reload", "subject": "all", "by": "anna", "at": 1.0}'
    (tmp_path / "operations" / "1.json").write_text(asked)
    box.look(fail)
    answer = (tmp_path / "operations" / "1.answer").read_text()
    assert "reload: not done to its end, No space left on device" in answer


def test_a_start_throws_away_what_nobody_waits_for(tmp_path: Path) -> None:
    box, folder = a_box(tmp_path), tmp_path / "operations"
    for name in ("1.taken", "2.answer", "3.json", "4.json"):
        (folder / name).touch()
    os.utime(folder / "3.json", (NOON - 1e8, NOON - 1e8))
    box.prepare()
    assert [path.name for path in folder.iterdir()] == ["4.json"]
