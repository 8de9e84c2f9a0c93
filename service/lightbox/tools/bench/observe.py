"""``lightbox bench observe``: what it costs to be watched.

Two services receive the same instances in turn: one writes its log at info and is scraped every
second, the other writes errors only and nobody scrapes it. Counting cannot be switched off: what it
costs is measured beside, as a share of the time that an instance takes.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from lightbox.app.clock import SystemClock
from lightbox.domain.events import InstanceStored, Recorded
from lightbox.domain.study import Arrival, Instance
from lightbox.metrics import Metrics
from lightbox.tools.bench.receivers import Receiver
from lightbox.tools.bench.report import OURS, Case, interleaved
from lightbox.tools.bench.rounds import Load, one_round, template_of
from lightbox.tools.demo.data import MODEL
from lightbox.tools.orthanc import free_port
from lightbox.tools.service import Service

_EVENTS = 20_000
_SHAPE = (256, 256)
_SENDERS = 2
_SCRAPE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ObservePlan:
    """How much is measured: interleaved rounds, instances of each."""

    rounds: int = 8
    instances: int = 400


def bench_observe(models: Path, plan: ObservePlan) -> list[Case]:
    """Measure instances per second of a service that is watched against one that is not.

    Raises
    ------
    UsageError
        If a service does not start, or does not store what it is sent.
    """
    numbers, waits = count(1), list[float]()
    with TemporaryDirectory(prefix="lightbox-bench-") as made, ExitStack() as running:
        folder = Path(made)
        load = Load(template_of(folder / "instance.bin", _SHAPE), _SENDERS, plan.instances)
        watched, web = running.enter_context(_service(folder / "watched", models, "info"))
        alone, _ = running.enter_context(_service(folder / "alone", models, "error"))

        def seen() -> float:
            with _scraping(f"{web}/metrics"):
                return one_round(watched, load, numbers, waits)

        def unseen() -> float:
            return one_round(alone, load, numbers, waits)

        seen(), unseen()  # the first round of a process is not like the others
        measured = interleaved({OURS: seen, "unwatched": unseen}, plan.rounds)
    note = "ours: log at info, scraped every second; unwatched: errors only, nobody scrapes"
    watching = measured.case("receive 128 KB, 2 senders", "instances per second", note)
    each = 1.0 / watching.ours
    return [watching, Case("counting one instance", _counting(), "s", {"its time": each})]


@contextmanager
def _service(folder: Path, models: Path, level: str) -> Iterator[tuple[Receiver, str]]:
    folder.mkdir()
    port, web = free_port(), free_port()
    config = folder / "lightbox.toml"
    config.write_text(
        f"data_dir = {json.dumps(str(folder / 'data'))}\n"
        f'[storage]\nreserve = "100MB"\n[dicom]\nport = {port}\n[web]\nport = {web}\n'
        f"[models]\npath = {json.dumps(str(models))}\nenabled = [{json.dumps(MODEL)}]\n"
        f'[logging]\nlevel = "{level}"\n'
    )
    with Service(config, folder / "log"):
        yield Receiver(port, "LIGHTBOX"), f"http://127.0.0.1:{web}"


@contextmanager
def _scraping(url: str) -> Iterator[None]:
    """Read the metrics as Prometheus would, until the block ends."""
    over = threading.Event()

    def scrape() -> None:
        while True:
            with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                answer.read()
            if over.wait(_SCRAPE_SECONDS):
                return

    thread = threading.Thread(target=scrape, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _counting() -> float:
    """Return the seconds that the metrics take for one accepted instance."""
    clock = SystemClock()
    instance = Instance("1.2.3", "1.2", "1.2.1", "1.2.2", "1.2.840.10008.1.2.1", "a", "ab" * 32, 1)
    arrival = Arrival(clock.now(), "BENCH", "LIGHTBOX", "127.0.0.1", "a", 0)
    row = Recorded("receive", 1, clock.now(), "", InstanceStored(instance, arrival))
    observe: Callable[[Recorded], None] = Metrics(None, "bench").observe_event
    began = clock.monotonic()
    for _ in range(_EVENTS):
        observe(row)
    return (clock.monotonic() - began) / _EVENTS
