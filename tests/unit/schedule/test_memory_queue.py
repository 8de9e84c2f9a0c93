from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.queue import QueueContract
from lightbox.ports import Queue
from lightbox.schedule.queues.memory import MemoryQueue


class TestMemoryQueue(QueueContract):
    @contextmanager
    def opened(self) -> Iterator[Queue]:
        queue = MemoryQueue(workers=4)
        yield queue
        queue.close(5.0)
