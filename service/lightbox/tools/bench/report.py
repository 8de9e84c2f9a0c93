"""Measuring side by side, and the one form in which every benchmark answers.

What is compared runs in turn, round by round, in alternating order, so that whatever else the
machine does meets all of them alike. Reported are medians; ``load`` says how busy the machine was.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightbox.domain.errors import UsageError
from lightbox.ports import Clock

OURS = "ours"
BARE = "bare"
"""Name of the peer that is the bare forward pass."""


@dataclass(frozen=True, slots=True)
class Case:
    """One measured quantity.

    Attributes
    ----------
    peers : mapping of str to float
        The same quantity of others (or a limit that it is held against), by name.
    paired : mapping of str to float
        Median of the ratios ours ÷ peer of single rounds; empty where there are no rounds.
    note : str
        What a reader must know to judge it, or "".
    """

    name: str
    ours: float
    unit: str
    peers: Mapping[str, float] = field(default_factory=dict)
    paired: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def ratio(self) -> dict[str, float]:
        """Ours ÷ peer, by peer; a peer of 0 has none."""
        return {name: self.ours / value for name, value in self.peers.items() if value}

    def as_json(self) -> dict[str, Any]:
        """Return what ``bench --json`` writes of it."""
        found: dict[str, Any] = {
            "name": self.name,
            "ours": self.ours,
            "peers": dict(self.peers),
            "unit": self.unit,
            "ratio": self.ratio,
        }
        if self.paired:
            found["paired_ratio"] = dict(self.paired)
        if self.note:
            found["note"] = self.note
        return found


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantity of several contestants, a number per round each, in the same order."""

    rounds: Mapping[str, Sequence[float]]

    def case(self, name: str, unit: str, note: str = "") -> Case:
        """Return the medians; the contestant called "ours" is ours."""
        medians = {who: statistics.median(found) for who, found in self.rounds.items()}
        ours = self.rounds[OURS]
        paired = {
            who: statistics.median(a / b for a, b in zip(ours, found, strict=True))
            for who, found in self.rounds.items()
            if who != OURS and all(found)
        }
        return Case(name, medians.pop(OURS), unit, medians, paired, note)


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> Measured:
    """Let every contestant run once a round, every second round in reverse order.

    Parameters
    ----------
    contestants : mapping of str to callable
        Each runs once and returns its number.
    rounds : int
        At least 1.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds):
        for name in order if number % 2 == 0 else reversed(order):
            found[name].append(contestants[name]())
    return Measured(found)


def in_milliseconds(measured: Measured) -> Measured:
    """Return what was measured in seconds in milliseconds."""
    return Measured({who: [1e3 * s for s in found] for who, found in measured.rounds.items()})


def seconds_of(work: Callable[[], object], clock: Clock) -> Callable[[], float]:
    """Return a contestant that says how many seconds ``work`` takes."""

    def timed() -> float:
        began = clock.monotonic()
        work()
        return clock.monotonic() - began

    return timed


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of all do not exceed: one that was measured."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def as_json(cases: Sequence[Case], clock: Clock) -> dict[str, Any]:
    """Return the answer of a benchmark: machine, date, load, cases."""
    moment = datetime.fromtimestamp(clock.now(), tz=UTC)
    return {
        "machine": machine(),
        "date": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "load": round(os.getloadavg()[0], 2),
        "cases": [case.as_json() for case in cases],
    }


def answer_in(file: Path) -> dict[str, Any]:
    """Read an answer that ``--json`` wrote.

    Raises
    ------
    UsageError
        If the file holds none.
    """
    try:
        answer = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not {"machine", "date", "cases"} <= answer.keys():
        raise UsageError(
            str(file),
            "is no answer of a benchmark",
            "the log comes first, then what --json wrote: lightbox bench log LOG.md FILE.json",
        )
    return answer


def as_markdown(title: str, answer: Mapping[str, Any]) -> str:
    """Return one answer, as :func:`as_json` made it, as a section of a log."""
    load = f"load {answer['load']} at the end" if "load" in answer else "load not recorded"
    lines = [
        f"## {title}, {answer['date']}",
        f"{answer['machine']}; {load}",
        "",
        "| case | ours | unit | others (ours as a share of them) | note |",
        "|---|---|---|---|---|",
    ]
    for case in answer["cases"]:
        ratios = {**case["ratio"], **case.get("paired_ratio", {})}
        others = ", ".join(
            f"{name} {value:.4g}" + (f" ({ratios[name]:.2f})" if name in ratios else "")
            for name, value in case["peers"].items()
        )
        cells = (case["name"], f"{case['ours']:.4g}", case["unit"], others, case.get("note", ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", ""])


def machine() -> str:
    """Say in one line what this ran on."""
    cores = len(os.sched_getaffinity(0))
    python = platform.python_version()
    return (
        f"{_processor()}, {cores} cores, {platform.system()} {platform.release()}, Python {python}"
    )


def _processor() -> str:
    names: Iterator[str] = iter(())
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
