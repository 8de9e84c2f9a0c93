"""``lightbox bench receive``: our listener beside storescp (DCMTK) and Orthanc, in one run.

The receivers run at the same time and are fed in turn by the same senders. Every case says what is
asked of us; what each receiver promises stands in ``receivers.py``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from lightbox.tools.bench.beside_audit import bench_beside_audit
from lightbox.tools.bench.receivers import (
    ORTHANC,
    STORESCP,
    SYNCED,
    Receiver,
    Start,
    built_shim,
    known,
    peak_memory,
)
from lightbox.tools.bench.report import OURS, Case, interleaved, percentile
from lightbox.tools.bench.rounds import Load, Template, one_round, template_of

PARTS = ("small", "512 KB", "20 MB", "nagle", "slow disk", "audit")


@dataclass(frozen=True, slots=True)
class Size:
    """Instances of one length.

    Attributes
    ----------
    shape : tuple of two ints
        Rows and columns of 16 bits.
    share : float
        How many are sent for each of 512 KB.
    asked : mapping of str to float
        Peer → least share of its rate that is asked of us.
    """

    shape: tuple[int, int]
    share: float
    asked: Mapping[str, float]


SIZES: Mapping[str, Size] = {
    "small": Size((100, 100), 4.0, {ORTHANC: 2.0, SYNCED: 0.7, STORESCP: 0.25}),
    "512 KB": Size((512, 512), 1.0, {ORTHANC: 1.8, SYNCED: 0.65, STORESCP: 0.4}),
    "20 MB": Size((3200, 3200), 0.08, {ORTHANC: 2.0, SYNCED: 0.9, STORESCP: 1.3}),
}
"""Name → its length; 20 KB, 512 KB and 20 MB of pixels."""

SENDERS = (1, 4)
_SLOW: Mapping[int, float] = {1: 1.2, 4: 1.0, 16: 1.8}
"""Senders → least share of Orthanc's rate, where each sync takes longer."""
_SLOWER_BY = 0.003
_NAGLE = {ORTHANC: 15.0, STORESCP: 15.0}
_NAGLE_AT_MOST = 60
_P99_SHARE = 0.7
_MEMORY = 128.0


@dataclass(frozen=True, slots=True)
class ReceivePlan:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Interleaved rounds of each case.
    instances : int
        Instances of 512 KB of one round, shared out among its senders; more where they are small.
    senders : tuple of int
        Numbers of associations at the same time.
    parts : tuple of str
        Some of :data:`PARTS`.
    """

    rounds: int = 3
    instances: int = 100
    senders: tuple[int, ...] = SENDERS
    parts: tuple[str, ...] = PARTS


def bench_receive(plan: ReceivePlan, models: Path | None = None) -> list[Case]:
    """Measure instances per second, the response time and our memory.

    Parameters
    ----------
    models : Path or None
        Folder of model packages, for the part with an audit; None: without that part.

    Raises
    ------
    UsageError
        If a receiver does not start, or does not store what it is sent.
    """
    cases: list[Case] = []
    with TemporaryDirectory(prefix="lightbox-bench-") as made:
        folder = Path(made)
        bench = _Bench(folder, plan, built_shim(folder))
        for part in plan.parts:
            if part in SIZES:
                cases += bench.rates(part)
            elif part == "nagle":
                cases += bench.nagle()
            elif part == "slow disk":
                cases += bench.slow_disk()
            elif models is not None:
                load = Load(bench.template("512 KB"), max(plan.senders), plan.instances)
                cases += bench_beside_audit(folder / "audit", models, load, plan.rounds)
    return cases


class _Bench:
    """Folder, plan and what was prepared once."""

    def __init__(self, folder: Path, plan: ReceivePlan, shim: Path | None) -> None:
        self._folder = folder
        self._plan = plan
        self._shim = shim
        self._numbers = count(1)

    def template(self, size: str) -> Template:
        """Return the instance of a size that senders make copies of."""
        shape = SIZES[size].shape
        return template_of(self._folder / f"{shape[0]}.bin", shape)

    def rates(self, size: str) -> Iterator[Case]:
        """Measure one length with each number of senders."""
        given = SIZES[size]
        with self._running(size, known(self._shim)) as receivers:
            for senders in self._plan.senders:
                instances = max(senders, round(given.share * self._plan.instances))
                load = Load(self.template(size), senders, instances)
                yield from self._case(f"{size}, {_of(senders)}", receivers, load, given.asked)
            if size == "20 MB":
                memory = peak_memory(receivers[OURS].pid) / 1e6
                bar = {"bar": _MEMORY}
                yield Case("memory of the listener", memory, "MB, most", bar, note=f"after {size}")

    def nagle(self) -> Iterator[Case]:
        """Measure senders that wait for acknowledgements of their small packets."""
        starts = {name: s for name, s in known().items() if name in {OURS, *_NAGLE}}
        with self._running("nagle", starts) as receivers:
            instances = min(self._plan.instances, _NAGLE_AT_MOST)
            load = Load(self.template("small"), 1, instances, nagle=True)
            yield from self._case("small, Nagle sender", receivers, load, _NAGLE)

    def slow_disk(self) -> Iterator[Case]:
        """Measure with syncs that take longer; nothing where there is no C compiler."""
        if self._shim is None:
            return
        with self._running("slow", known(self._shim, _SLOWER_BY)) as receivers:
            for senders, least in _SLOW.items():
                load = Load(self.template("512 KB"), senders, max(senders, self._plan.instances))
                name = f"512 KB, {_of(senders)}, +{1000 * _SLOWER_BY:g} ms per sync"
                yield from self._case(name, receivers, load, {ORTHANC: least})

    @contextmanager
    def _running(self, name: str, starts: Mapping[str, Start]) -> Iterator[dict[str, Receiver]]:
        """Run the receivers; their files are emptied now, and removed after the last part.

        For minutes ext4 looks at each file that was deleted before it makes a new one near them:
        the next part would measure that.
        """
        made = self._folder / name
        made.mkdir()
        with ExitStack() as running:
            yield {who: running.enter_context(start(made / who)) for who, start in starts.items()}
        for file in made.rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"")

    def _case(
        self, name: str, receivers: Mapping[str, Receiver], load: Load, asked: Mapping[str, float]
    ) -> Iterator[Case]:
        waits: dict[str, list[float]] = {who: [] for who in receivers}
        contestants = {
            who: partial(one_round, receiver, load, self._numbers, waits[who])
            for who, receiver in receivers.items()
        }
        for once in contestants.values():  # the first round of a process is not like the others
            once()
        for took in waits.values():
            took.clear()
        measured = interleaved(contestants, self._plan.rounds)
        least = ", ".join(f"{share:g} x {who}" for who, share in asked.items() if who in receivers)
        note = f"asked: at least {least}" if least else ""
        yield measured.case(f"receive {name}", "instances per second", note)
        yield _response(waits, f"response {name}", 0.5, "")
        yield _response(
            waits, f"response {name}, p99", 0.99, f"asked: at most {_P99_SHARE:g} x {ORTHANC}"
        )


def _of(senders: int) -> str:
    return f"{senders} sender{'s' if senders > 1 else ''}"


def _response(waits: Mapping[str, list[float]], name: str, share: float, note: str) -> Case:
    """Return how long a sender waits for the response to one instance."""
    found = {
        who: 1e3 * (statistics.median(took) if share == 0.5 else percentile(took, share))
        for who, took in waits.items()
    }
    return Case(name, found.pop(OURS), f"ms, {share:.0%}", found, note=note)
