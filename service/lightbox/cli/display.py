"""How commands answer: JSON for programs, tables on a terminal, tabs in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click

NOTHING = "\N{EN DASH}"


def show_json(value: object) -> None:
    """Print a value as JSON; objects without a JSON form are written as their text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print rows: a table on a terminal, else a header and tab-separated lines, never cut."""
    if not sys.stdout.isatty():
        for row in ([name.lower() for name in columns], *rows):
            click.echo("\t".join(_plain(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    Console(highlight=False, markup=False).print(table)


def moment(at: float | None) -> str:
    """Write a moment (seconds since 1970) as people do, UTC, to the millisecond."""
    if not at:
        return NOTHING
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _plain(cell: object) -> str:
    return NOTHING if cell is None or cell == "" else " ".join(str(cell).split())
