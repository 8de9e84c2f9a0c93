"""Every query of the dashboards has an answer, asked of a Prometheus that scrapes the service."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from lightbox.metrics import Metrics
from prometheus_peer import Prometheus

FOLDER = Path(__file__).parents[3] / "deploy" / "grafana"
DASHBOARDS = sorted(FOLDER.glob("dashboards/*.json"))
FILLED_IN = {
    "$__rate_interval": "1m",
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


@pytest.mark.parametrize(
    ("where", "query"), [pytest.param(*each, id=each[0].replace(" ", "_")) for each in queries()]
)
def test_a_query_returns_data(watched: Prometheus, where: str, query: str) -> None:
    found = watched.values(filled_in(query))
    assert found, f"{where}: nothing for {query}"
    numbers = [value for value in found if not math.isnan(value)]
    assert numbers, f"{where}: only NaN for {query}"


def test_a_misspelt_metric_would_be_found(watched: Prometheus) -> None:
    where, query = queries()[3]
    misspelt = re.sub(r"lightbox_(\w)", r"lightbox_x\1", query)
    assert misspelt != query
    with pytest.raises(AssertionError, match="nothing for"):
        test_a_query_returns_data(watched, where, misspelt)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: str(file.stem))
def test_a_dashboard_can_be_imported(file: Path) -> None:
    board = json.loads(file.read_text())
    assert board["uid"] == file.stem
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels(board):
        assert panel["description"], f"{panel['title']} does not say what it shows"
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    known = {f"${variable['name']}" for variable in board["templating"]["list"]} | set(FILLED_IN)
    used = set(re.findall(r"\$\w+", json.dumps([p["targets"] for p in panels(board)])))
    assert used <= known


def test_panels_do_not_overlap() -> None:
    for file in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(file.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken, (file.stem, panel["title"])
            taken |= cells


def test_every_metric_is_on_a_dashboard() -> None:
    metrics = Metrics(CollectorRegistry(), "1.2.3")
    shown = set(re.findall(r"^# TYPE (\w+)", metrics.exposition().decode(), re.MULTILINE))
    asked = " ".join(query for _where, query in queries())
    missing = {name for name in shown if not re.search(rf"\b{name}(_(sum|count|bucket))?\b", asked)}
    assert missing <= {"lightbox_build_info"}, "it says which version runs; nothing to draw"


def test_rows_that_are_recorded_have_values(watched: Prometheus) -> None:
    """The series of deploy/prometheus/recording.yml that one study can fill."""
    for name in ("deadlines_met:ratio_rate1h", "turnaround_seconds:p99_1h"):
        watched.value(f"lightbox:{name}")
