from __future__ import annotations

from collections.abc import Callable

import pytest

from lightbox.domain.errors import CancelledError, StoppingError
from lightbox.schedule.queues.steps import Steps


class Store:
    """What an engine keeps: it runs a body once and knows its text from then on."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def __call__(self, name: str, body: Callable[[], str]) -> str:
        if name not in self.texts:
            self.texts[name] = body()
        return self.texts[name]


def going_on() -> bool:
    return False


def fails() -> str:
    raise ValueError("DOE^JANE")


@pytest.mark.parametrize("text", ["", "!", "=", "pneumonia 0.93"])
def test_a_stored_text_is_returned_instead_of_running_again(text: str) -> None:
    store, runs = Store(), []

    def function() -> str:
        runs.append(1)
        return text

    for _ in range(2):
        assert Steps(store, going_on)("predict", function) == text
    assert len(runs) == 1


def test_a_failure_is_raised_as_it_was_and_not_stored() -> None:
    store = Store()
    with pytest.raises(ValueError, match="DOE"):
        Steps(store, going_on)("predict", fails)
    assert "DOE" not in str(store.texts)


def test_a_step_that_failed_before_a_crash_is_done_again() -> None:
    store = Store()
    with pytest.raises(ValueError, match="DOE"):
        Steps(store, going_on)("predict", fails)
    assert Steps(store, going_on)("predict", lambda: "now it works") == "now it works"


def test_nothing_starts_once_the_process_stops() -> None:
    with pytest.raises(StoppingError):
        Steps(Store(), lambda: True)("predict", fails)


def test_a_store_that_is_gone_is_not_the_jobs_fault() -> None:
    def gone(name: str, body: Callable[[], str]) -> str:
        raise OSError("no such file")

    with pytest.raises(StoppingError, match="OSError"):
        Steps(gone, going_on)("predict", lambda: "")


def test_a_cancelled_job_says_so() -> None:
    def cancelled(name: str, body: Callable[[], str]) -> str:
        raise CancelledError("job", "was cancelled")

    with pytest.raises(CancelledError):
        Steps(cancelled, going_on)("predict", lambda: "")
