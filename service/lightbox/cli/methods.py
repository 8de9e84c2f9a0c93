"""``lightbox methods``: every explanation method, and what to know before choosing one."""

from __future__ import annotations

from dataclasses import asdict, replace

import click

from lightbox.cli.display import show_json, show_table


@click.command(epilog="Example: lightbox explain image.dcm --model NAME --method shapley")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def methods(*, as_json: bool) -> None:
    """List the explanation methods: family, paper, what each needs, costs and guarantees."""
    from lightbox.app import catalogue

    cards = [replace(method.card, name=name) for name, method in catalogue.methods().items()]
    if as_json:
        show_json([asdict(card) for card in cards])
        return
    columns = ("Name", "Family", "Needs", "Cost", "Axioms", "Paper")
    rows = [(c.name, c.family, c.needs, c.cost, ", ".join(c.axioms), c.paper) for c in cards]
    show_table(columns, rows)
