"""``lightbox bench attacks``: what one hostile peer costs our listener, and whom else it harms.

Each attack meets a listener of its own, with its default limits, while a good sender asks C-ECHO
and stores by new associations. Held against is one second for the C-ECHO. What the same attack did
to others was measured once, on 2026-11-20: pynetdicom 3.0.4, pydicom 3.0.2, storescp (DCMTK 3.6.7),
Orthanc 1.10.1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lightbox.tools.bench import hostile
from lightbox.tools.bench.listener import GoodSender, Listener, listener
from lightbox.tools.bench.report import Case, percentile

_LOOK = 4.0
"""Seconds that the good sender goes on beside what holds a connection."""
_FIRST = 10
"""C-ECHOs before the attack begins."""
_BAR = 1000.0


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the table.

    Attributes
    ----------
    name, what : str
        Its number, and what it does.
    act : callable (Listener, ExitStack) → str
        Does it, and returns how it ended; what it holds open goes into the stack.
    others : str
        What it did to others.
    is_tls : bool
        Whether it goes against the TLS port.
    """

    name: str
    what: str
    act: Callable[[Listener, ExitStack], str]
    others: str
    is_tls: bool = False


ATTACKS = (
    Attack(
        "M1", "A-ASSOCIATE-RQ that declares 4 GiB", hostile.declares_too_much,
        "pynetdicom 50 to 1551 MiB; storescp and Orthanc reset within 3 MiB",
    ),
    Attack(
        "M2", "fragments that never end", hostile.never_ends,
        "pynetdicom 653 MiB of memory for 599 MiB sent, takes a PDU of 8 MiB",
    ),
    Attack(
        "M3", "silent clients on the TLS port", partial(hostile.is_silent, count=3),
        "pynetdicom: no TLS C-ECHO succeeds while they stay", is_tls=True,
    ),
    Attack(
        "M4", "half a PDU, then silence", hostile.stops_half_way,
        "pynetdicom still holds it after 100 s",
    ),
    Attack(
        "M5", "400 idle connections", partial(hostile.is_silent, count=400),
        "pynetdicom: 338 MiB, good C-ECHO refused for 30 s",
    ),
    Attack(
        "M6", "one idle connection", partial(hostile.is_silent, count=1),
        "storescp and Orthanc delay C-ECHO by 29.8 s, pynetdicom does not",
    ),
    Attack(
        "M8", "UIDs that are paths", hostile.names_paths,
        "pynetdicom's qrscp writes outside of its folder",
    ),
    Attack(
        "M9", "a deflated data set", hostile.deflates,
        "pydicom: 842 MiB for a file of 408 KB",
    ),
    Attack(
        "M10", "sequences nested 200 deep", hostile.nests,
        "pydicom: RecursionError",
    ),
    Attack(
        "M11", "16 MiB of RLE that become 1 GiB", hostile.expands,
        "pydicom: 50 MiB become 3.1 GiB in 12.9 s",
    ),
    Attack(
        "M12", "384,000 transfer syntaxes in 7.7 MiB", hostile.proposes_too_much,
        "pynetdicom: accepted after 5.6 s of CPU, 82 MiB more",
    ),
)  # fmt: skip


def bench_attacks(
    said: Callable[[str], None], chosen: Sequence[str] = (), look: float = _LOOK
) -> list[Case]:
    """Attack, one after the other; ``chosen`` names some of them, () all.

    Raises
    ------
    UsageError
        If the listener does not start.
    """
    cases = []
    for attack in ATTACKS:
        if not chosen or attack.name in chosen:
            said(f"{attack.name} {attack.what}")
            with TemporaryDirectory(prefix="lightbox-bench-") as folder:
                cases.append(_attacked(attack, Path(folder) / "site", look))
    return cases


def _attacked(attack: Attack, folder: Path, look: float) -> Case:
    pause = threading.Event()
    with listener(folder, tls=attack.is_tls) as ours:
        good = GoodSender(ours, attack.is_tls)
        with good.at_work():
            while len(good.served) < _FIRST:
                pause.wait(0.05)
            before = ours.memory()
            good.begin()
            with ExitStack() as held:
                words = attack.act(ours, held)
                pause.wait(look)
        peak = ours.memory()
    served, tried = sum(good.served), len(good.served)
    note = (
        f"good sender served {served} of {tried}; memory {before:.0f} to {peak:.0f} MiB; {words}; "
        f"others: {attack.others}"
    )
    p99 = 1e3 * percentile(good.seconds, 0.99) if good.seconds else float("inf")
    return Case(f"{attack.name} {attack.what}", p99, "ms, C-ECHO p99", {"bar": _BAR}, note=note)
