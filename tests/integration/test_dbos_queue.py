"""The durable queue against its real engine and a real file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.queue import QueueContract
from lightbox.ports import Queue
from lightbox.schedule.queues.dbos_queue import DbosQueue


def ignored(job_id: str, detail: str) -> None:
    """Give up quietly."""


class TestDbosQueue(QueueContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @contextmanager
    def opened(self) -> Iterator[Queue]:
        queue = DbosQueue(self.folder / "queue.sqlite", "test-work-0", self.folder, ignored)
        yield queue
        queue.close(5.0)
