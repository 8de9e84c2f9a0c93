"""A real Prometheus reads what we show, and its rules speak of metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from builders import NOON, a_job, a_placed_job, a_result, a_stored, a_written
from lightbox.console.server import RunningServer, create_app, serve
from lightbox.console.sources import ConsoleSources, Readiness, StudyPage
from lightbox.domain.condition import Condition
from lightbox.domain.events import Delivered, Event, Recorded
from lightbox.domain.levels import Levels
from lightbox.domain.operations import Outcome
from lightbox.domain.urgency import Urgency
from lightbox.metrics import Metrics
from lightbox.settings import Web
from prometheus_peer import PROMETHEUS, Prometheus

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
RECORDING = FOLDER / "recording.yml"
RULES = RECORDING.read_text() + ALERTS.read_text().replace("groups:\n", "")
"""Both files as one, in the order in which they are evaluated."""
PROMTOOL = shutil.which("promtool")
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
        timeout=300,  # two weeks of samples, on a busy machine
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
        ("check", "rules", "recording.yml", "alerts.yml"),
        ("test", "rules", "alerts_test.yml", "days_test.yml"),
    ):
        done = promtool(*arguments)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


@needs_promtool
def test_the_exposition_has_nothing_that_promtool_objects_to() -> None:
    done = promtool("check", "metrics", given=busy_metrics().exposition())
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_rules_speak_only_of_metrics_that_exist() -> None:
    shown = set(re.findall(r"^# TYPE (\w+)", busy_metrics().exposition().decode(), re.MULTILINE))
    named = set(re.findall(r"\blightbox_\w+", RULES))
    assert {re.sub("_(sum|count|bucket)$", "", name) for name in named} <= shown
    recorded = set(re.findall(r"record: (\S+)", RULES))
    assert set(re.findall(r"\blightbox:[\w:]+", ALERTS.read_text())) <= recorded


def test_every_alert_is_tested() -> None:
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    tests = "".join(FOLDER.joinpath(f"{name}_test.yml").read_text() for name in ("alerts", "days"))
    tested = set(re.findall(r"alertname: (\w+)\n +exp_alerts", tests))
    assert alerts == tested


def the_console(exposition: Callable[[], bytes]) -> RunningServer:
    """Serve these metrics as the service does."""
    sources = ConsoleSources(
        metrics=exposition,
        ready=lambda: Readiness(()),
        queue=dict,
        operate=lambda _request: Outcome(False, ()),
        studies=lambda _query: StudyPage(),
        study=lambda _uid: None,
        ledger=dict,
        preview=lambda _uid: None,
        settings=list,
        now=lambda: NOON,
    )
    return serve(create_app(sources, Web()), "127.0.0.1", 0)


@needs_prometheus
def test_prometheus_scrapes_us_and_evaluates_every_rule(tmp_path: Path) -> None:
    ours = the_console(busy_metrics().exposition)
    with Prometheus(tmp_path, f"127.0.0.1:{ours.port}", RULES) as prometheus:
        assert prometheus.value("up{job='lightbox'} == 1") == 1
        assert prometheus.value("lightbox_deadlines_total{urgency='STAT',outcome='missed'}") == 1
        in_time = "lightbox_turnaround_seconds_bucket{le='3.0',path='fast',urgency='STAT'}"
        assert prometheus.value(in_time) == 1
        assert prometheus.value("lightbox_jobs_waiting{urgency='ROUTINE'}") == 7
        for rule in prometheus.rules():
            assert prometheus.ask(rule["query"])["status"] == "success", rule["name"]
    ours.close()


_QUICK = {"m": 0.2, "h": 12, "d": 3}
"""Seconds that a minute, an hour and a day of the rules last in a test."""


def quickened(rules: str) -> str:
    """Return rules with all durations shortened, days most of all."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{round(int(found[2]) * _QUICK[found[3]] * 1000)}ms"

    return re.sub(r"(\[|for: |offset )(\d+)([mhd])", shorter, rules)


class TroubledSite:
    """Everything goes wrong a little more with each scrape."""

    def __init__(self) -> None:
        self.metrics = Metrics(CollectorRegistry(), "1.2.3", ("pacs",))
        self.metrics.know_model("m", "1.0.0", "ab" * 32)
        self._scrapes = 0

    def exposition(self) -> bytes:
        metrics, self._scrapes = self.metrics, self._scrapes + 1
        metrics.deadlines.labels("STAT", "missed").inc()
        metrics.deadlines.labels("ROUTINE", "missed").inc()
        metrics.delivery_retries.inc(30)
        metrics.notifications.labels("ris", "dropped").inc()
        metrics.count_preemption(2.0)
        metrics.count_received("CT1", 0xA700, 0, 0)
        for _ in range(5):
            metrics.explanation_agreement.labels("m").observe(0.1)
            quality = 0.9 if self._scrapes < 30 else 0.2
            metrics.explanation_quality.labels("m", "insertion").observe(quality)
        metrics.tell_proof(3, 1.0)
        metrics.deadlines_at_risk.labels("ROUTINE").set(3)
        ill = Condition(
            eased={"m": "smaller batches"}, out_of_service={"m": "NaN"}, replaced=self._scrapes
        )
        metrics.set_levels(Levels(0, 6 * 10**9, {"ROUTINE": 30 + self._scrapes}, {}, 2, ill), NOON)
        return metrics.exposition()


@needs_prometheus
def test_each_alert_fires_in_a_real_prometheus(tmp_path: Path) -> None:
    ours = the_console(TroubledSite().exposition)
    alerts = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    seen: set[str] = set()

    def all_of(wanted: set[str]) -> bool:
        seen.update(prometheus.firing())
        return wanted <= seen

    rules = quickened(RULES)
    with Prometheus(tmp_path, f"127.0.0.1:{ours.port}", rules, "200ms") as prometheus:
        up = alerts - {"LightboxDown"}
        try:
            prometheus.until(lambda: all_of(up), "an alert did not fire", 60)
        except AssertionError:
            assert up - seen == set(), "never fired"
        ours.close()
        prometheus.until(lambda: all_of({"LightboxDown"}), "a service that is gone is not seen")
