from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lightbox.schedule.queues.hush import hush


@pytest.fixture
def engine() -> Iterator[logging.Logger]:
    logger = logging.getLogger("dbos")
    before = (logger.handlers[:], logger.filters[:], logger.level, logger.propagate)
    logger.handlers.clear()
    logger.filters.clear()
    logger.propagate = True
    hush()
    yield logger
    logger.handlers[:], logger.filters[:] = before[0], before[1]
    logger.setLevel(before[2])
    logger.propagate = before[3]


def test_the_engines_announcements_are_not_heard(
    engine: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    engine.info("connect to our console at https://...")
    assert caplog.records == []


def test_its_troubles_are_one_line_without_what_an_exception_said(
    engine: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    engine.error("Exception in workflow:", exc_info=ValueError("DOE^JANE"))
    assert "Exception in workflow: ValueError" in caplog.text
    assert "DOE" not in caplog.text


def test_asking_twice_changes_nothing(
    engine: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    hush()
    engine.warning("contention")
    assert [record.getMessage() for record in caplog.records] == ["contention"]
