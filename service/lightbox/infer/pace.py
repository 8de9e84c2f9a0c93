"""How many evaluations fit the time for which an audit may keep an urgent image waiting.

The batch of a runtime is fixed, so a chunk is a number of whole batches and the values do not
depend on it. What batches cost is measured on this device, once per model, and remembered. What
is remembered is tried at each start: it may have been measured while the machine was busy, or the
machine, or the share of it that a container has, may be another one by now.
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, LabelMap
from lightbox.ports import Clock, Storage

_log = logging.getLogger(__name__)

BOUND = {"cpu": 0.25, "cuda": 0.1}
"""Seconds that an urgent image waits for an audit at most, where nothing else is configured."""
_HEADROOM = 2.0
"""A chunk is to take half of the bound on an idle machine: others want the processor, too."""
_DRIFT = 1.5
"""So many times faster or slower than remembered: then all is measured again."""
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_RUNS = 3
_FILE = "chunks.json"


class Measurable(Protocol):
    """What of a runtime is measured."""

    @property
    def device(self) -> str:
        """Kind of device."""
        ...

    @property
    def batch(self) -> int:
        """Images of one pass."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        ...

    def value(
        self, image: FloatMap, baseline: FloatMap, regions: LabelMap, coalitions: CoalitionMatrix
    ) -> FloatMap:
        """Return logits of masked images."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """The chunk of one model on this device.

    Attributes
    ----------
    chunk : int
        Evaluations between two pauses: whole batches, one at least.
    seconds : float
        What that chunk takes on this machine when it is idle.
    bound : float
        Seconds that it was chosen for.
    """

    chunk: int
    seconds: float
    bound: float

    @property
    def holds(self) -> bool:
        """False where even one batch takes longer than the bound."""
        return self.seconds <= self.bound

    @property
    def batch_that_holds(self) -> int:
        """The largest batch that would take no longer than the bound, as far as this one tells."""
        return max(1, int(self.chunk * self.bound / self.seconds))


class Paces:
    """Measures, or remembers what was measured on this device and is still true.

    Parameters
    ----------
    storage : Storage
        The data directory; the table is a small file in it.
    clock : Clock
        Measures.
    """

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def of(self, runtime: Measurable, model_sha256: str, bound: float) -> Pace:
        """Return the chunk for a model; measures what is not known or not true any more."""
        name = "|".join(
            (_device(runtime.device), f"batch {runtime.batch}", f"bound {bound:g}", model_sha256)
        )
        known = self._known()
        if name in known:
            pace = chosen(known[name], runtime.batch, bound)
            if self._is_true(runtime, pace):
                return pace
        table = self._measured(runtime, bound)
        pace = chosen(table, runtime.batch, bound)
        if pace.holds:  # else the machine may just be busy: look again at the next start
            self._remember({**known, name: table})
        return pace

    def _measured(self, runtime: Measurable, bound: float) -> dict[str, float]:
        """Return the seconds of 1, 2, 4 … batches, each the best of a few runs."""
        table: dict[str, float] = {}
        for batches in _BATCHES:
            best = table[str(batches)] = self._best(runtime, batches * runtime.batch)
            if best * _HEADROOM > bound:
                break
        return table

    def _is_true(self, runtime: Measurable, pace: Pace) -> bool:
        """Say whether a remembered chunk takes about as long as it did."""
        best = self._best(runtime, pace.chunk)
        is_true = pace.seconds / _DRIFT <= best <= pace.seconds * _DRIFT
        if not is_true:
            told = f"{pace.chunk} evaluations take {best:.3f} s, {pace.seconds:.3f} s remembered"
            _log.info("%s: measured again", told)
        return is_true

    def _best(self, runtime: Measurable, evaluations: int) -> float:
        """Return the seconds that so many evaluations take, the best of a few runs."""
        image = np.zeros(runtime.image_shape, dtype=np.float32)
        regions = np.zeros(runtime.image_shape[1:], dtype=np.int16)
        coalitions = np.ones((evaluations, 1), dtype=np.bool_)
        best = float("inf")
        for _ in range(_RUNS):
            began = self._clock.monotonic()
            runtime.value(image, image, regions, coalitions)
            best = min(best, self._clock.monotonic() - began)
        return best

    def _known(self) -> Mapping[str, dict[str, float]]:
        try:
            found = json.loads(self._storage.read(_FILE))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, tables: Mapping[str, dict[str, float]]) -> None:
        try:
            self._storage.put(_FILE, json.dumps(tables, indent=1).encode())
        except OSError as error:  # a full disk costs us the table, not the start
            _log.warning("%s: not written, %s", _FILE, error.strerror)


def chosen(table: Mapping[str, float], batch: int, bound: float) -> Pace:
    """Return the most batches of a table that fit half of the bound, one at least.

    Parameters
    ----------
    table : mapping of str to float
        Number of batches → seconds, as measured.
    batch : int
        Evaluations of one batch.
    bound : float
        Seconds.
    """
    seconds = {int(batches): float(took) for batches, took in table.items()}
    fit = [batches for batches, took in seconds.items() if took * _HEADROOM <= bound]
    most = max(fit, default=min(seconds))
    return Pace(most * batch, seconds[most], bound)


def _device(kind: str) -> str:
    """Name the device: figures of another one are not ours."""
    name = platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2] for line in lines if "model name" in line), name)
    return f"{kind}, {name.strip()}, {len(os.sched_getaffinity(0))} cores"
