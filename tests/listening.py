"""A listener on a free port, with a store on a real disk and a ledger in memory."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.events import AssociationReleased, InstanceStored
from lightbox.receive.listener import Listener
from lightbox.receive.store import Store
from lightbox.receive.wire.observation import Observation
from lightbox.settings import Dicom
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve

PATIENCE = 10.0

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@dataclass
class Running:
    """What a test looks at."""

    root: Path
    ledger: FakeLedger
    listener: Listener
    store: Store
    observed: queue.SimpleQueue[Observation]

    @property
    def port(self) -> int:
        """TCP port."""
        return self.listener.port

    @property
    def stored(self) -> list[InstanceStored]:
        """What was acknowledged."""
        return [e for e in self.ledger.events if isinstance(e, InstanceStored)]

    @property
    def released(self) -> list[AssociationReleased]:
        """Associations that brought something and ended."""
        return [e for e in self.ledger.events if isinstance(e, AssociationReleased)]

    def wait_for(self, condition: Callable[[Observation], bool]) -> Observation:
        """Wait for an observation."""
        while True:
            seen = self.observed.get(timeout=PATIENCE)
            if condition(seen):
                return seen

    def wait_for_status(self, *statuses: str) -> Observation:
        """Wait for an observation with one of these statuses."""
        return self.wait_for(lambda seen: seen.status in statuses)

    def files_with_content(self) -> list[Path]:
        """Return the instance files that are not blanks of the pool."""
        found = self.root.glob("instances/*/*")
        return [p for p in found if p.stat().st_size]


@contextmanager
def listening(
    root: Path, settings: Dicom | None = None, files: Files | None = None
) -> Iterator[Running]:
    """Start a listener, and drain it at the end."""
    clock = FakeClock()
    ledger = FakeLedger(clock)
    observed: queue.SimpleQueue[Observation] = queue.SimpleQueue()
    root.mkdir(exist_ok=True)
    store = Store(root, files or Files(), ledger, clock, Reserve(root, 0))
    chosen = (settings or Dicom()).model_copy(update={"port": 0})
    listener = Listener(chosen, store, ledger, clock, observed.put)
    listener.start()
    try:
        yield Running(root, ledger, listener, store, observed)
    finally:
        listener.drain(PATIENCE)
        store.close()
