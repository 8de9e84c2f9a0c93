"""How long a person waits for a page of the console, and Prometheus for the metrics.

The real service runs on a copy of a long ledger; pages are asked for one after the other, over one
connection, as a browser does.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from lightbox.domain.errors import UsageError
from lightbox.explain.measures import METRICS
from lightbox.metrics import Metrics
from lightbox.ports import Clock
from lightbox.tools.bench.long_ledger import DESTINATION, study_uid
from lightbox.tools.bench.report import Case, percentile, seconds_of
from lightbox.tools.orthanc import free_port
from lightbox.tools.service import Service

_AT_WORK = ("lightbox_jobs_waiting{", "lightbox_jobs_running{")
_PATIENCE = 120.0
_SHARE = 0.95
_PAGE, _METRICS = 100.0, 20.0
"""Milliseconds that the slowest of twenty may take."""


def page_cases(ledger: Path, models: Path, studies: int, times: int, clock: Clock) -> list[Case]:
    """Measure each kind of page.

    Parameters
    ----------
    ledger : Path
        Folder of the chains and their read model; it is copied.
    studies : int
        How many it holds.
    times : int
        How often each page is asked for.

    Raises
    ------
    UsageError
        If the service does not start, or a page is not answered with 200.
    """
    pages = [
        "/", "/studies", "/studies?page=50", "/studies?show=late", "/studies?search=glioma", "/studies?search=9876543",
        "/studies?show=failed&page=3", f"/studies/{study_uid(studies // 2)}", "/queue",
        "/dead-letters", "/models", "/rules", "/destinations", "/ledger", "/settings", "/metrics",
    ]  # fmt: skip
    with TemporaryDirectory(prefix="lightbox-bench-") as made:
        folder = Path(made)
        shutil.copytree(ledger, folder / "data" / "ledger")
        config = folder / "lightbox.toml"
        config.write_text(
            f"data_dir = {json.dumps(str(folder / 'data'))}\n"
            f'[storage]\nreserve = "100MB"\n[dicom]\nport = {free_port()}\n'
            f"[web]\nport = {free_port()}\n[models]\npath = {json.dumps(str(models))}\n"
            f'[[destinations]]\nname = "{DESTINATION}"\nae_title = "BENCH"\nport = {free_port()}\n'
        )
        with (
            Service(config, folder / "log") as service,
            httpx.Client(base_url=service.web_url) as browser,
        ):
            _until_idle(browser, clock)
            ask = {page: seconds_of(partial(_asked, browser, page), clock) for page in pages}
            took = _in_turn(ask, times)
    return [*(_case(page, seconds) for page, seconds in took.items()), _large_site(times, clock)]


def _in_turn(ask: dict[str, Callable[[], float]], times: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {page: [] for page in ask}
    for _ in range(times):
        for page, timed in ask.items():
            took[page].append(timed())
    return took


def _until_idle(browser: httpx.Client, clock: Clock) -> None:
    """Wait until the jobs that the ledger left open have ended: no package of theirs is served."""
    pause, give_up = threading.Event(), clock.monotonic() + _PATIENCE
    while clock.monotonic() < give_up:
        lines = browser.get("/metrics").text.splitlines()
        if not any(line.startswith(_AT_WORK) and not line.endswith(" 0.0") for line in lines):
            return
        pause.wait(0.2)
    raise UsageError("lightbox serve", f"is at work after {_PATIENCE:.0f} s", "see its log")


def _asked(browser: httpx.Client, page: str) -> None:
    answer = browser.get(page)
    if answer.status_code != httpx.codes.OK:
        raise UsageError(page, f"was answered with {answer.status_code}", "see the service's log")


def _case(page: str, seconds: list[float]) -> Case:
    bar = _METRICS if page == "/metrics" else _PAGE
    name = page if len(page) < 40 else "/studies/UID"  # a UID says nothing here
    median = f"p50 {1000 * percentile(seconds, 0.5):.1f} ms, asked {len(seconds)} times"
    return Case(
        f"page {name}, p95", 1000 * percentile(seconds, _SHARE), "ms", {"bar": bar}, note=median
    )


def _large_site(times: int, clock: Clock) -> Case:
    """Write the metrics of six models, four destinations, 20 senders and 30 that are refused."""
    senders = [f"CT{number}" for number in range(20)]
    metrics = Metrics(None, "bench", ("pacs", "vna", "research", "second"), senders)
    for number in range(6):
        metrics.know_model(f"model{number}", "1.0.0", "ab" * 32)
        for measure in METRICS:
            metrics.explanation_quality.labels(f"model{number}", measure.name).observe(0.5)
    for number in range(30):
        metrics.count_received(f"AE{number}", 0xA700, 0.1, 0)
    for name in ("ris", "pager"):
        metrics.know_webhook(name)
    lines = metrics.exposition().count(b"\n")
    write = seconds_of(metrics.exposition, clock)
    took = 1000 * percentile([write() for _ in range(times)], _SHARE)
    return Case(
        "metrics of a large site, p95", took, "ms", {"bar": _METRICS}, note=f"{lines} lines"
    )
