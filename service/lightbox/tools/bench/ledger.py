"""How the service answers when its ledger is long: start, one study, each page, the proof.

The start is measured in a process of its own, so that its memory is its own too. Every figure has
the bar that it is held against.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import tempfile
import threading
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightbox.app.clock import SystemClock
from lightbox.app.processes.live import Live
from lightbox.domain.account import Account
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.ledger.prove import prove
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.bench.long_ledger import DESTINATION, study_uid, write_ledger
from lightbox.tools.bench.pages import page_cases
from lightbox.tools.bench.report import Case, percentile, seconds_of

_ARRIVED_WITHIN = 70.0
_EXPECTED = Expectations((DESTINATION,))
_BAR = "bar"


@dataclass(frozen=True, slots=True)
class LedgerPlan:
    """How much is measured.

    Attributes
    ----------
    rows : int
        About so many rows in the ledger.
    open_studies : int
        Studies that wait for their results.
    questions : int
        How many studies are asked for.
    pages : int
        How often each page of the console is.
    """

    rows: int = 1_000_000
    open_studies: int = 200
    questions: int = 200
    pages: int = 100


def bench_ledger(plan: LedgerPlan, models: Path, folder: Path | None = None) -> list[Case]:
    """Write a ledger and ask it everything; in ``folder``, which is kept, or a temporary one."""
    if folder is not None:
        return _measured(plan, models, folder)
    with tempfile.TemporaryDirectory(prefix="lightbox-bench-") as temporary:
        return _measured(plan, models, Path(temporary))


def _measured(plan: LedgerPlan, models: Path, root: Path) -> list[Case]:
    clock, ledger = SystemClock(), root / "ledger"
    is_new = not ledger.exists()
    if is_new:
        write_ledger(ledger, plan.rows, plan.open_studies, clock.now())
    with closing(LedgerReader(ledger)) as reader:
        rows = sum(reader.last_sequences().values())
    note = f"{rows} rows"
    first, _, _ = _in_a_process(ledger)
    start, memory, held = _in_a_process(ledger)
    cases = [
        *([Case("read model, made anew", first, "s", note=note)] if is_new else []),
        Case("start of control", start, "s", {_BAR: 5.0}, note=f"{note}, {held} studies open"),
        Case("memory of control", memory, "MB", note="once it has started"),
    ]
    studies = _studies(ledger)
    cases.append(_one_by_uid(plan, ledger, studies, clock))
    cases += page_cases(ledger, models, studies, plan.pages, clock)
    cases.append(_proof(ledger, note, clock))
    return cases


def _in_a_process(ledger: Path) -> tuple[float, float, int]:
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(_start, (ledger,))


def _start(ledger: Path) -> tuple[float, float, int]:
    """Return seconds to open all that ``control`` has of the ledger, its memory, open studies."""
    clock = SystemClock()
    account = Account.expecting(_EXPECTED)
    began = clock.monotonic()
    with closing(SqliteLedger(ledger, "control", clock)) as chains:
        live = Live(chains, account, threading.RLock(), clock, _ARRIVED_WITHIN)
        live.resume()
        took = clock.monotonic() - began
        live.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return took, memory, len(account.held())


def _studies(ledger: Path) -> int:
    with closing(ReadModel(ledger, _EXPECTED)) as model:
        return model.counts().studies


def _one_by_uid(plan: LedgerPlan, ledger: Path, studies: int, clock: SystemClock) -> Case:
    draw = random.Random(7)  # noqa: S311  # which studies are asked for, not a secret
    with closing(LedgerReader(ledger)) as reader:
        ask = seconds_of(partial(_one_study, reader, draw, studies), clock)
        took = percentile([ask() for _ in range(plan.questions)], 0.99)
    return Case("lightbox studies UID, p99", 1000.0 * took, "ms", {_BAR: 50.0})


def _one_study(reader: LedgerReader, draw: random.Random, studies: int) -> object:
    uid = study_uid(draw.randrange(studies))
    account = StudyAccount(uid, _EXPECTED)
    for row in reader.timeline(uid):
        account.apply(row)
    return account.standing()


def _proof(ledger: Path, note: str, clock: SystemClock) -> Case:
    began = clock.monotonic()
    proof = prove(ledger, (DESTINATION,))
    took = clock.monotonic() - began
    words = "proved" if proof.ok else f"NOT proved: {proof.problems[0]}"
    return Case("lightbox ledger prove", took, "s", {_BAR: 60.0}, note=f"{note}, {words}")
