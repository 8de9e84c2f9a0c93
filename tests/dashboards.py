"""The dashboards of deploy/grafana, as tests read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana"
DASHBOARDS = sorted(FOLDER.glob("dashboards/*.json"))
FILLED_IN = {
    "$__rate_interval": "10m",  # the study may have come minutes ago, where the machine is slow
    "$__range": "1h",
    "$urgency": "STAT|AUDIT",
    "$model": ".*",
}
"""What Grafana puts in the place of its variables."""


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def queries() -> list[tuple[str, str]]:
    """Return (where, query) of every panel and annotation."""
    found = []
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        for panel in panels(board):
            found += [
                (f"{file.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]
            ]
    return found


def filled_in(query: str) -> str:
    for variable, value in FILLED_IN.items():
        query = query.replace(variable, value)
    assert "$" not in query, f"a variable that the test does not know: {query}"
    return query
