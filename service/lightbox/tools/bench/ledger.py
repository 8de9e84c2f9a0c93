"""How the ledger answers when it is long: start, one study, a page of the console, the proof.

The start is measured in a process of its own, so that its memory is its own too. Every figure has
the bar that it is held against.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightbox.app.clock import SystemClock
from lightbox.app.processes.live import Live
from lightbox.domain.account import Account
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.ledger.prove import prove
from lightbox.ledger.read_model.answers import Search
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.bench.long_ledger import DESTINATION, study_uid, write_ledger
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
        How often each question is asked.
    """

    rows: int = 1_000_000
    open_studies: int = 200
    questions: int = 200


def bench_ledger(plan: LedgerPlan, folder: Path | None = None) -> list[Case]:
    """Write a ledger and ask it everything; in ``folder``, which is kept, or a temporary one."""
    if folder is not None:
        return _measured(plan, folder)
    with tempfile.TemporaryDirectory(prefix="lightbox-bench-") as temporary:
        return _measured(plan, Path(temporary))


def _measured(plan: LedgerPlan, root: Path) -> list[Case]:
    clock, ledger = SystemClock(), root / "ledger"
    if not ledger.exists():
        write_ledger(ledger, plan.rows, plan.open_studies, clock.now())
    with closing(LedgerReader(ledger)) as reader:
        rows = sum(reader.last_sequences().values())
    note = f"{rows} rows"
    made, _, _ = _in_a_process(ledger)
    start, memory, held = _in_a_process(ledger)
    cases = [
        Case("read model, made anew", made, "s", note=note),
        Case("start of control", start, "s", {_BAR: 5.0}, note=f"{note}, {held} studies open"),
        Case("memory of control", memory, "MB", note="once it has started"),
    ]
    cases += _questions(plan, ledger, _studies(ledger), clock)
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


def _questions(plan: LedgerPlan, ledger: Path, studies: int, clock: SystemClock) -> list[Case]:
    draw = random.Random(7)  # noqa: S311  # which studies are asked for, not a secret
    cases = []
    with closing(LedgerReader(ledger)) as reader:
        one = partial(_one_study, reader, draw, studies)
        cases.append(_case("lightbox studies UID, p99", one, plan, clock, (0.99, 50.0)))
    with closing(ReadModel(ledger, _EXPECTED)) as model:
        pages = {
            "first page": Search(),
            "page 50": Search(page=50),
            "text that one study has": Search(text=study_uid(studies // 2)),
            "text that none has": Search(text="no such words"),
            "state": Search(state="dead_letter"),
            "urgency": Search(urgency="STAT"),
            "missed deadlines": Search(missed_at=clock.now()),
        }
        for name, search in pages.items():
            ask = partial(model.search, search)
            cases.append(_case(f"console, {name}, p95", ask, plan, clock, (0.95, 100.0)))
        cases.append(_case("counts, p95", model.counts, plan, clock, (0.95, 20.0)))
        cases.append(_case("dead letters, p95", model.dead_letters, plan, clock, (0.95, 100.0)))
    return cases


def _one_study(reader: LedgerReader, draw: random.Random, studies: int) -> object:
    uid = study_uid(draw.randrange(studies))
    account = StudyAccount(uid, _EXPECTED)
    for row in reader.timeline(uid):
        account.apply(row)
    return account.standing()


def _case(
    name: str,
    ask: Callable[[], object],
    plan: LedgerPlan,
    clock: SystemClock,
    bar: tuple[float, float],
) -> Case:
    """Ask many times; ``bar`` is the share of all that must be under so many milliseconds."""
    took = [1000.0 * seconds_of(ask, clock)() for _ in range(plan.questions)]
    share, most = bar
    return Case(name, percentile(took, share), "ms", {_BAR: most})


def _proof(ledger: Path, note: str, clock: SystemClock) -> Case:
    began = clock.monotonic()
    proof = prove(ledger, (DESTINATION,))
    took = clock.monotonic() - began
    words = "proved" if proof.ok else f"NOT proved: {proof.problems[0]}"
    return Case("lightbox ledger prove", took, "s", {_BAR: 60.0}, note=f"{note}, {words}")
