"""A real Prometheus reads what we show, and its rules speak of metrics that exist."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from builders import NOON, a_job, a_placed_job, a_result, a_stored, a_written
from lightbox.console.server import create_app, serve
from lightbox.console.sources import ConsoleSources, Readiness
from lightbox.domain.events import Delivered, Event, Recorded
from lightbox.domain.operations import Outcome
from lightbox.domain.urgency import Urgency
from lightbox.metrics import Levels, Metrics
from lightbox.settings import Web

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


def promtool(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments],
        input=given,
        cwd=FOLDER,
        capture_output=True,
        check=False,
        timeout=60,
    )


def busy_metrics() -> Metrics:
    """Return metrics after one study that was late."""
    metrics = Metrics(CollectorRegistry(), "1.2.3", ("pacs",))
    metrics.know_model("chest_xray", "1.0.0", "ab" * 32)
    job = a_job(urgency=Urgency.STAT)
    uid = a_result(job).sop_instance_uid
    events: tuple[Event, ...] = (
        a_stored(),
        a_placed_job(urgency=Urgency.STAT),
        a_written(job),
        Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 1),
    )
    for number, event in enumerate(events, 1):
        metrics.observe_event(Recorded("test", number, NOON + 3, "", event))
    metrics.set_levels(Levels(0, 10**9, {"ROUTINE": 7}, {}, 2), NOON + 3)
    return metrics


@needs_promtool
def test_the_rules_are_right_and_each_alert_fires_when_it_should() -> None:
    for arguments in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = promtool(*arguments)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


@needs_promtool
def test_the_exposition_has_nothing_that_promtool_objects_to() -> None:
    done = promtool("check", "metrics", given=busy_metrics().exposition())
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_rules_speak_only_of_metrics_that_exist() -> None:
    shown = set(re.findall(rb"^(lightbox_\w+)", busy_metrics().exposition(), re.MULTILINE))
    named = set(re.findall(r"\blightbox_\w+", ALERTS.read_text()))
    assert {name.encode() for name in named} <= shown


def test_every_alert_is_tested() -> None:
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    tested = set(
        re.findall(
            r"alertname: (\w+)\n +exp_alerts", FOLDER.joinpath("alerts_test.yml").read_text()
        )
    )
    assert alerts == tested


@dataclass(frozen=True)
class Peer:
    """A running Prometheus that scrapes us every second."""

    url: str

    def ask(self, query: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=5).json()
        assert isinstance(answer, dict)
        return answer

    def value(self, query: str) -> float:
        """Wait until the query has a value, 30 s at most."""
        waiting = threading.Event()
        for _ in range(150):
            try:
                found = self.ask(query)["data"]["result"]
            except (httpx.TransportError, ValueError):  # it is still starting
                found = []
            if found:
                return float(found[0]["value"][1])
            waiting.wait(0.2)
        pytest.fail(f"no value for {query} within 30 s")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Peer]:
    metrics = busy_metrics()
    sources = ConsoleSources(
        metrics=metrics.exposition,
        ready=lambda: Readiness(()),
        queue=dict,
        operate=lambda _request: Outcome(False, ()),
        studies=lambda _search, _limit: [],
        study=lambda _uid: None,
        ledger=dict,
        preview=lambda _uid: None,
        settings=list,
        now=lambda: NOON,
    )
    ours = serve(create_app(sources, Web()), "127.0.0.1", 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (FOLDER / "prometheus.yml").read_text()
    text = text.replace("15s", "1s").replace("127.0.0.1:8080", f"127.0.0.1:{ours.port}")
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(ALERTS, tmp_path)
    assert PROMETHEUS is not None
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield Peer(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(30)
            ours.close()


@needs_prometheus
def test_prometheus_scrapes_us_and_evaluates_every_rule(prometheus: Peer) -> None:
    assert prometheus.value("up{job='lightbox'} == 1") == 1
    assert prometheus.value("lightbox_deadlines_total{urgency='STAT',outcome='missed'}") == 1
    assert (
        prometheus.value("lightbox_turnaround_seconds_bucket{le='3.0',path='fast',urgency='STAT'}")
        == 1
    )
    assert prometheus.value("lightbox_jobs_waiting{urgency='ROUTINE'}") == 7
    rules = httpx.get(f"{prometheus.url}/api/v1/rules", timeout=5).json()["data"]["groups"][0]
    for rule in rules["rules"]:
        assert prometheus.ask(rule["query"])["status"] == "success", rule["name"]
    waiting = {alert["labels"]["alertname"] for alert in _alerts(prometheus)}
    assert {"LightboxDeadLetters", "LightboxDiskReserve"} <= waiting


def _alerts(peer: Peer) -> list[dict[str, Any]]:
    waiting = threading.Event()
    for _ in range(50):
        found = httpx.get(f"{peer.url}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        if len(found) >= 2:
            return list(found)
        waiting.wait(0.2)
    return []
