"""The dashboards as files: they can be imported, read, and show every metric.

What their queries answer: ``tests/e2e/test_stat_study.py``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dashboards import DASHBOARDS, FILLED_IN, panels, queries
from lightbox.metrics import Metrics


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
