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
from lightbox.domain.urgency import Urgency
from lightbox.tools.bench.report import Case, as_json

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
    from lightbox.tools.bench.fast import FastPlan, bench_fast
    from lightbox.tools.explain import loaded

    settings = invocation.settings()
    cases = bench_fast(settings, loaded(settings, model), FastPlan(rounds))
    finish(cases, json_file)


@bench.command()
@_model
@_rounds(10, "Paired rounds of the cost of an evaluation.")
@click.option(
    "--only",
    type=click.Choice(["cost", "counts"]),
    help="cost: minutes on a quiet machine; counts: hours, whatever else the machine does.",
)
@click.option("--images", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True)
@click.option(
    "--grid",
    "grids",
    type=(int, int),
    multiple=True,
    help="Rows and columns of regions, may be given again; else the model's.",
)
@click.option(
    "--largest",
    type=click.IntRange(64),
    default=4096,
    show_default=True,
    help="Largest budget of an estimator.",
)
@click.option(
    "--games",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Random games that intervals are held against.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep evaluations and traces in this folder, and go on from what is there.",
)
@_answer
@click.pass_obj
def audit(
    invocation: Invocation,
    model: str,
    rounds: int,
    only: str | None,
    images: int,
    seeds: int,
    grids: tuple[tuple[int, int], ...],
    largest: int,
    games: int,
    keep: Path | None,
    json_file: Path | None,
) -> None:
    """Measure the cost of an evaluation, and how many an estimate needs.

    Every coalition of every image is evaluated once: 2^n evaluations each, up to 20 regions; more
    regions have a long estimate as their reference. captum, shap and shapiq take part where they
    are installed: make bench-peers, then .venv-bench/bin/lightbox bench audit.
    """
    from lightbox.tools.bench.audit import PARTS, AuditBenchPlan, bench_audit
    from lightbox.tools.explain import loaded

    settings = invocation.settings()
    plan = AuditBenchPlan(
        parts=(only,) if only else PARTS,
        rounds=rounds,
        images=images,
        seeds=seeds,
        grids=grids,
        largest=largest,
        random_games=games,
        folder=keep,
    )
    finish(bench_audit(settings, loaded(settings, model), plan), json_file)


@bench.command()
@click.option("--studies", type=click.IntRange(1), default=50, show_default=True)
@click.option("--waiting", type=click.IntRange(0), default=100_000, show_default=True)
@_answer
def deliver(studies: int, waiting: int, json_file: Path | None) -> None:
    """Measure from written to stored in an archive, and the memory of results that wait.

    Each of STUDIES has four results; Orthanc is the archive where it is installed.
    """
    from lightbox.tools.bench.deliver import DeliverPlan, bench_deliver

    finish(bench_deliver(DeliverPlan(studies, waiting)), json_file)


@bench.command()
@click.argument("log_file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument(
    "json_files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
def log(log_file: Path, json_files: tuple[Path, ...]) -> None:
    """Append what --json wrote to a log in Markdown: machine, date, load and every case."""
    from lightbox.tools.bench.report import answer_in, as_markdown

    sections = [as_markdown(json_file.stem, answer_in(json_file)) for json_file in json_files]
    with log_file.open("a", encoding="utf-8") as file:
        file.writelines(sections)
    click.echo(f"{log_file}: {len(json_files)} added")


@bench.command()
@_model
@_rounds(40, "Images.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An image; else the package's first sample.",
)
@_answer
@click.pass_obj
def encode(
    invocation: Invocation, model: str, rounds: int, file: Path | None, json_file: Path | None
) -> None:
    """Measure picture, region, report and map of one image, to the row that names them.

    Made, looked at by dciodvfy where it is installed, synced and recorded, as in the service.
    """
    from lightbox.tools.bench.encode import EncodePlan, bench_encode
    from lightbox.tools.explain import loaded

    settings = invocation.settings()
    finish(bench_encode(settings, loaded(settings, model), EncodePlan(rounds, file)), json_file)


@bench.command()
@click.option("--minutes", type=click.FloatRange(0.05), default=0.5, show_default=True)
@click.option(
    "--peer-minutes",
    type=click.FloatRange(0.0),
    default=0.5,
    show_default=True,
    help="Length of the others' day; 0: without them.",
)
@click.option("--stat", default=6.0, show_default=True, help="STAT studies per minute.")
@click.option("--high", default=6.0, show_default=True, help="HIGH studies per minute.")
@click.option("--routine", default=12.0, show_default=True, help="ROUTINE studies per minute.")
@click.option("--backlog", type=click.IntRange(0), default=8, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@_answer
@click.pass_obj
def turnaround(
    invocation: Invocation,
    minutes: float,
    peer_minutes: float,
    stat: float,
    high: float,
    routine: float,
    backlog: int,
    seed: int,
    json_file: Path | None,
) -> None:
    """Measure studies from their last byte to the archive, while audits run.

    Starts services and archives of its own. Studies of three urgencies arrive at random over a
    backlog of audits that never empties; the others meet the same day without preemption of
    audits, and in order of arrival.
    """
    from lightbox.tools.bench.turnaround import TurnaroundPlan, bench_turnaround

    models = Path(invocation.settings().models.path).expanduser().resolve()
    rates = {Urgency.STAT: stat, Urgency.HIGH: high, Urgency.ROUTINE: routine}
    plan = TurnaroundPlan(minutes, peer_minutes, rates, backlog, seed)
    finish(bench_turnaround(models, plan, lambda line: click.echo(line, err=True)), json_file)


@bench.command()
@_rounds(5, "Interleaved rounds of each case.")
@click.option(
    "--instances",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Of 512 KB in a round; four times as many small ones, a twelfth as many of 20 MB.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(["small", "512 KB", "20 MB", "nagle", "slow disk", "audit"]),
    multiple=True,
    help="Only this, may be given again; else all, some six minutes and 10 GB of disk.",
)
@_answer
@click.pass_obj
def receive(
    invocation: Invocation,
    rounds: int,
    instances: int,
    parts: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Measure the listener beside storescp (DCMTK) and Orthanc, with the same senders.

    Instances of three lengths from one sender and from four, senders that wait for
    acknowledgements, a disk whose syncs take longer, a running audit. Peers that are not installed
    are left out; storescp with a sync of each file, and the slower disk, need a C compiler.
    """
    from lightbox.tools.bench.receive import PARTS, ReceivePlan, bench_receive

    plan = ReceivePlan(rounds, instances, parts=parts or PARTS)
    models = Path(invocation.settings().models.path).expanduser().resolve()
    finish(bench_receive(plan, models), json_file)


@bench.command()
@_rounds(8, "Interleaved rounds.")
@click.option("--instances", type=click.IntRange(1), default=400, show_default=True)
@_answer
@click.pass_obj
def observe(invocation: Invocation, rounds: int, instances: int, json_file: Path | None) -> None:
    """Measure what it costs to be watched: log and scrapes on and off, in turn."""
    from lightbox.tools.bench.observe import ObservePlan, bench_observe

    models = Path(invocation.settings().models.path).expanduser().resolve()
    finish(bench_observe(models, ObservePlan(rounds, instances)), json_file)


@bench.command()
@click.option("--rows", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Keep the ledger here, and use the one that is here.",
)
@_answer
@click.pass_obj
def ledger(invocation: Invocation, rows: int, folder: Path | None, json_file: Path | None) -> None:
    """Measure start, pages of the console and proof on a ledger of ROWS rows.

    Writes such a ledger first, which takes a minute and a gigabyte for a million rows.
    """
    from lightbox.tools.bench.ledger import LedgerPlan, bench_ledger

    models = Path(invocation.settings().models.path).expanduser().resolve()
    finish(bench_ledger(LedgerPlan(rows), models, folder), json_file)


@bench.command()
@click.option("--only", multiple=True, metavar="M1", help="This row only, may be given again.")
@_answer
def attacks(only: tuple[str, ...], json_file: Path | None) -> None:
    """Attack our listener in eleven ways, beside a good sender.

    Each row says how long a good C-ECHO took meanwhile, how many of the good requests were served,
    what the attack cost in memory and how it ended. Takes three minutes.
    """
    from lightbox.tools.bench.attacks import bench_attacks

    finish(bench_attacks(lambda line: click.echo(line, err=True), only), json_file)


@bench.command()
@click.option("--largest", type=click.IntRange(1), default=1024, show_default=True, help="MiB.")
@_answer
def memory(largest: int, json_file: Path | None) -> None:
    """Measure the most memory of our listener: many senders, long series, huge instances.

    64 associations at once, a CT of 2,000 images, an enhanced CT of 200 frames, and a multi-frame
    instance of LARGEST MiB; needs 3 GB on the disk.
    """
    from lightbox.tools.bench.memory import MemoryPlan, bench_memory

    plan = MemoryPlan(largest=largest * 2**20)
    finish(bench_memory(plan, lambda line: click.echo(line, err=True)), json_file)


@bench.command()
@click.option("--pending", type=click.IntRange(1), default=10_000, show_default=True)
@_answer
@click.pass_obj
def restart(invocation: Invocation, pending: int, json_file: Path | None) -> None:
    """Measure from kill -9 with PENDING instances in progress to everything at work again."""
    from lightbox.tools.bench.restart import RestartPlan, bench_restart

    models = Path(invocation.settings().models.path).expanduser().resolve()
    plan = RestartPlan(pending)
    finish(bench_restart(models, plan, lambda line: click.echo(line, err=True)), json_file)


def finish(cases: Sequence[Case], json_file: Path | None) -> None:
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
