"""One browser for all; skipped with the reason where a part of it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from busy_console import BusyConsole, busy_console
from chromium import AXE, Browser, Page, chromium
from lightbox.console.server import create_app, serve
from lightbox.settings import Web


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if not AXE.exists():
        pytest.skip("axe-core is not there: npm ci --prefix tests/browser --ignore-scripts")
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.page()
    yield page
    page.close()


class Served:
    """A console with its address; ``busy`` is what it shows."""

    def __init__(self, busy: BusyConsole) -> None:
        self.busy = busy
        self._server = serve(create_app(busy.sources(), Web()), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def stop(self) -> None:
        """Stop answering."""
        self._server.close()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Served]:
    with serving(busy_console(tmp_path)) as served:
        yield served


@contextmanager
def serving(busy: BusyConsole) -> Iterator[Served]:
    served = Served(busy)
    try:
        yield served
    finally:
        served.stop()
        busy.close()
