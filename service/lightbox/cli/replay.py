"""``lightbox replay``: a past result is computed again; says whether it is identical."""

from __future__ import annotations

import click

from lightbox.cli.display import moment, show_json
from lightbox.cli.invocation import Invocation
from lightbox.tools.replay import TOLERANCE, Origin, Replayed, Report, Verdict
from lightbox.tools.replay import replay as compute_again
from lightbox.version import __version__

_SHOWN = 5
_VERDICTS = {
    Verdict.IDENTICAL: "identical: the same bytes of the object, the same bits of every number",
    Verdict.SAME_NUMBERS: "the same bits of every number, but other bytes of the object",
    Verdict.WITHIN_TOLERANCE: f"not identical, but scores and values agree within {TOLERANCE:g}",
    Verdict.DIFFERENT: f"different: scores or values are more than {TOLERANCE:g} apart",
}


@click.command(epilog="Example: lightbox replay 2.25.1234 --fresh")
@click.argument("uid", metavar="RESULT_UID")
@click.option("--fresh", is_flag=True, help="Compute an audit's v(S) too, not only look them up.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def replay(invocation: Invocation, uid: str, *, fresh: bool, as_json: bool) -> int:
    """Compute a past result again and say whether it is identical.

    RESULT_UID is the SOP Instance UID of a result that this service made. Source files and model
    package must be what the ledger recorded. Works beside a running service and writes nothing
    into its data directory. Exit 1 if the result is not identical or cannot be computed again.
    """
    invocation.ledger_folder()
    report = compute_again(invocation.settings(), uid, fresh=fresh)
    if as_json:
        show_json(report.as_json())
    else:
        _show(report)
    return 0 if report.is_identical else 1


def _show(report: Report) -> None:
    past = report.past
    result, job, version = past.result, past.job, past.version or "unknown"
    facts = [
        (
            "result",
            f"{result.kind} of {past.record.method} ({job.path}), {past.prediction.finding}",
        ),
        ("made", f"{moment(past.written_at)} UTC by version {version} (now {__version__})"),
        ("sources", f"{len(job.instances)}, with the bytes that were received"),
        (
            "model",
            f"{job.model} {past.prediction.version}, weights {job.model_sha256[:16]}, the same",
        ),
        ("object", f"SHA-256 {result.sha256[:16]}; the stored file is {report.stored}"),
    ]
    for name, value in facts:
        click.echo(f"{name:8} {value}")
    for run in report.runs:
        click.echo(f"{'replay':8} {_started_from(run)}: {_VERDICTS[run.verdict]}")
        _show_differences(run)


def _started_from(run: Replayed) -> str:
    if run.origin is Origin.SOURCE:
        return "everything computed from the source"
    again = "some of them had to be computed again" if run.values_computed else "none computed anew"
    return f"with the job's recorded values v(S), {again}"


def _show_differences(run: Replayed) -> None:
    if run.verdict is Verdict.SAME_NUMBERS:
        click.echo(
            f"{'':8} the object's SHA-256 is now {run.sha256[:16] or 'none: it is not made'}"
        )
    for name, (then, now) in run.arithmetic.items():
        click.echo(f"{'':8} {name} was {then}, is {now}")
    for one in sorted(run.differences, key=lambda each: -each.size)[:_SHOWN]:
        click.echo(f"{'':8} {one.name}: recorded {one.recorded!r}, now {one.replayed!r}")
    if len(run.differences) > _SHOWN:
        click.echo(f"{'':8} and {len(run.differences) - _SHOWN} more (all: --json)")
