"""A real Prometheus for tests: it scrapes one target and answers queries."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

from lightbox.tools.orthanc import free_port

PROMETHEUS = shutil.which("prometheus")
_NAP = threading.Event()


class Prometheus:
    """Runs while the ``with`` block does.

    Parameters
    ----------
    folder : Path
        Gets configuration, log and series; must be empty.
    target : str
        ``host:port`` of what to scrape.
    rules : str
        Text of a rules file, "" for none.
    every : str
        Time between two scrapes and between two evaluations.
    """

    def __init__(self, folder: Path, target: str, rules: str = "", every: str = "1s") -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        (folder / "rules.yml").write_text(rules or "groups: []\n")
        (folder / "prometheus.yml").write_text(
            f"""\
global: {{scrape_interval: {every}, evaluation_interval: {every}}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: lightbox
    static_configs: [{{targets: ["{target}"]}}]
"""
        )

    def __enter__(self) -> Self:
        assert PROMETHEUS is not None
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROMETHEUS,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/series",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def ask(self, query: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=5).json()
        assert isinstance(answer, dict)
        return answer

    def values(self, query: str) -> list[float]:
        """Return what a query gives now; empty where it gives nothing."""
        try:
            answer = self.ask(query)
        except (httpx.TransportError, ValueError):  # it is still starting
            return []
        assert answer["status"] == "success", (query, answer)
        return [float(found["value"][1]) for found in answer["data"]["result"]]

    def value(self, query: str) -> float:
        """Wait until the query has a value, 30 s at most."""
        self.until(lambda: bool(self.values(query)), f"no value for {query}")
        return self.values(query)[0]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        try:
            found = httpx.get(f"{self.url}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        except (httpx.TransportError, ValueError):
            return set()
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}

    def rules(self) -> list[dict[str, Any]]:
        groups = httpx.get(f"{self.url}/api/v1/rules", timeout=5).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def until(self, true: Callable[[], bool], otherwise: str, seconds: float = 30.0) -> None:
        """Ask again until it is so."""
        for _ in range(int(seconds * 5)):
            if true():
                return
            _NAP.wait(0.2)
        raise AssertionError(f"{otherwise} within {seconds:.0f} s")
