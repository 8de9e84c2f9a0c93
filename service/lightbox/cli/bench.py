"""``lightbox bench``: how fast it is here, side by side with what others have."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lightbox.app.clock import SystemClock
from lightbox.cli.display import show_table
from lightbox.cli.invocation import Invocation
from lightbox.tools.bench_report import Case, as_json

_Decorated = Callable[..., Any]


def _answer(command: _Decorated) -> _Decorated:
    """Add the option that every benchmark has."""
    return click.option(
        "--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here."
    )(command)


def _rounds(default: int, what: str) -> Callable[[_Decorated], _Decorated]:
    return click.option(
        "--rounds", type=click.IntRange(1), default=default, show_default=True, help=what
    )


_model = click.option("--model", default="", help="A model package; else the first that is served.")


@click.group(epilog="Example: lightbox bench fast --json fast.json")
def bench() -> None:
    """Measure on this machine, side by side with the peers.

    What is compared runs in turn, so that other load meets all alike; the figures are medians.
    """


@bench.command()
@_model
@_rounds(40, "Paired rounds of each batch size.")
@_answer
@click.pass_obj
def fast(invocation: Invocation, model: str, rounds: int, json_file: Path | None) -> None:
    """Measure prediction with Grad-CAM against the bare forward pass."""
    from lightbox.tools.bench_fast import FastPlan, bench_fast
    from lightbox.tools.explain import loaded

    settings = invocation.settings()
    cases = bench_fast(settings, loaded(settings, model), FastPlan(rounds))
    _finish(cases, json_file)


@bench.command()
@_model
@_rounds(10, "Paired rounds of the cost of an evaluation.")
@click.option("--images", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True)
@click.option(
    "--grid", type=(int, int), default=(0, 0), help="Rows and columns of regions; else the model's."
)
@_answer
@click.pass_obj
def audit(
    invocation: Invocation,
    model: str,
    rounds: int,
    images: int,
    seeds: int,
    grid: tuple[int, int],
    json_file: Path | None,
) -> None:
    """Measure the cost of an evaluation, and how many an estimate needs.

    Every coalition of every image is evaluated once: 2^n evaluations each. captum, shap and
    shapiq take part where they are installed.
    """
    from lightbox.tools.bench_audit import AuditBenchPlan, bench_audit
    from lightbox.tools.explain import loaded

    settings = invocation.settings()
    plan = AuditBenchPlan(rounds, images, seeds, grid)
    _finish(bench_audit(settings, loaded(settings, model), plan), json_file)


@bench.command()
@click.option("--arrivals", type=click.IntRange(1), default=20, show_default=True)
@click.option("--backlog", type=click.IntRange(0), default=6, show_default=True)
@_answer
@click.pass_obj
def turnaround(invocation: Invocation, arrivals: int, backlog: int, json_file: Path | None) -> None:
    """Measure emergencies from their last byte to the archive, while audits run.

    Starts a service and an archive of its own; BACKLOG routine studies are sent first, for their
    audits to be in the way.
    """
    from lightbox.tools.bench_turnaround import TurnaroundPlan, bench_turnaround

    models = Path(invocation.settings().models.path).expanduser().resolve()
    _finish(bench_turnaround(models, TurnaroundPlan(arrivals, backlog)), json_file)


@bench.command()
@_rounds(3, "Interleaved rounds of each size and number of senders.")
@click.option("--instances", type=click.IntRange(1), default=100, show_default=True)
@_answer
def receive(rounds: int, instances: int, json_file: Path | None) -> None:
    """Measure the listener beside storescp (DCMTK) and Orthanc, with the same senders.

    Small instances and instances of 512 KB, from one sender and from four; peers that are not
    installed are left out.
    """
    from lightbox.tools.bench_receive import ReceivePlan, bench_receive

    _finish(bench_receive(ReceivePlan(rounds, instances)), json_file)


def _finish(cases: Sequence[Case], json_file: Path | None) -> None:
    """Print the table, write the JSON."""
    answer = as_json(cases, SystemClock())
    if json_file is not None:
        json_file.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{answer['machine']}, load {answer['load']}, {answer['date']}")
    show_table(("Case", "Ours", "Unit", "Peers", "Note"), [_row(case) for case in cases])


def _row(case: Case) -> tuple[object, ...]:
    ratios = case.ratio
    peers = (
        f"{name} {value:.4g}" + (f" (ratio {ratios[name]:.3f})" if name in ratios else "")
        for name, value in case.peers.items()
    )
    return case.name, f"{case.ours:.4g}", case.unit, ", ".join(peers), case.note
