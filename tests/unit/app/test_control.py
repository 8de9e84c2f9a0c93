"""Who reads what control knows does not hold it up."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from builders import NOON
from fakes.clock import FakeClock
from lightbox.app.processes.control import Control
from lightbox.domain.account import Account
from lightbox.domain.levels import Levels
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.metrics import Metrics
from lightbox.settings import Settings


class NothingWaits:
    """All of a queue that numbers need."""

    def waiting(self) -> Mapping[str, int]:
        return {"STAT": 2}


def test_a_scrape_writes_its_text_while_events_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand series take ten milliseconds of text; an emergency is not to wait for it."""
    clock = FakeClock(NOON)
    (tmp_path / "ledger").mkdir()
    was_free: list[bool] = []
    expose = Metrics.exposition

    def watched(metrics: Metrics) -> bytes:
        def take() -> None:
            was_free.append(control.lock.acquire(timeout=5))

        other = threading.Thread(target=take)
        other.start()
        other.join()
        return expose(metrics)

    monkeypatch.setattr(Metrics, "exposition", watched)
    with closing(SqliteLedger(tmp_path / "ledger", "control", clock)) as ledger:
        control = Control(
            settings=Settings(), root=tmp_path, ledger=ledger, queue=cast("Any", NothingWaits()),
            account=Account(), metrics=Metrics(None, "1.2.3"), road=cast("Any", None),
            free_bytes=lambda: 10**9, clock=clock, arrived_within=60.0,
        )  # fmt: skip
        text = control.exposition().decode()
        control.close()
    assert was_free == [True]
    assert 'lightbox_jobs_waiting{urgency="STAT"} 2.0' in text


def test_series_may_be_read_while_others_begin() -> None:
    """Prometheus' client promises it; what control does rests on it."""
    metrics = Metrics(None, "1.2.3", ("pacs",))
    done = threading.Event()
    texts: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            texts.append(metrics.exposition())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(300):
            metrics.count_received(f"CT{number % 60}", 0xA700 + number % 7, 0.1, 1)
            metrics.know_webhook(f"w{number}")
            metrics.set_levels(Levels(number, 1, {}, {}, 0), NOON)
    finally:
        done.set()
        reader.join()
    assert texts
    assert metrics.exposition().count(b"lightbox_notifications_total{") == 3 * 300
