"""Every page, dark and light, wide and narrow: nothing that WCAG 2.2 AA objects to, nothing refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from browser.conftest import Served, serving
from busy_console import DEAD, LATE, STRANGE, BusyConsole
from chromium import Page
from lightbox.app.operate.switch import Flag
from lightbox.app.processes.prover import Proving
from lightbox.console.sources import Check

PAGES = {
    "overview": "/",
    "studies": "/studies",
    "late": "/studies?show=late&search=glio&urgency=STAT",
    "study_late": f"/studies/{LATE.study_instance_uid}",
    "study_dead": f"/studies/{DEAD.study_instance_uid}",
    "study_listed": f"/studies/{STRANGE}",
    "queue": "/queue",
    "dead_letters": "/dead-letters",
    "models": "/models",
    "model": "/models/brain_tumour_mri",
    "rules": "/rules",
    "destinations": "/destinations",
    "ledger": "/ledger",
    "settings": "/settings",
    "api": "/api/docs",
    "login": "/login",
    "missing": "/studies/1.2.3",
}
PICTURES = os.environ.get("LIGHTBOX_PICTURES", "")
"""A folder, to look at what the tests see."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody(page: Page, console: Served, name: str) -> None:
    page.goto(console.url + PAGES[name])
    rest = ("color-contrast", "target-size", "scrollable-region-focusable")
    for scheme, width, rules in (("dark", 1280, ()), ("light", 1280, rest), ("dark", 320, rest)):
        page.colours(scheme)
        page.resize(width, 900)
        if PICTURES:
            page.screenshot(Path(PICTURES) / f"{name}_{scheme}_{width}.webp", whole=True)
        found = page.violations(*rules)
        assert found == [], f"{scheme}, {width} pixels wide"
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"{scheme}: {too_wide} pixels do not fit into {width}"
    assert [p for p in page.problems() if "404" not in p] == []


def test_what_goes_wrong_is_for_everybody_too(page: Page, console: Served) -> None:
    busy = console.busy
    busy.stopped = (Flag("all", "console at 127.0.0.1", busy.now),)
    busy.checks = (Check("disk", is_ok=False, words="1.0 GB free: under the reserve"),)
    problem = "chain work, sequence 12 is not what was written there"
    busy.proving = Proving(
        at=busy.now, seconds=3.5,
        proof={"ok": False, "accepted": 3, "delivered": 1, "listed": 1, "in_progress": 1,
               "problems": [problem], "chains": {"work": 12}},
    )  # fmt: skip
    for path in ("/", "/models", "/ledger"):
        page.goto(console.url + path)
        assert page.violations() == []
        assert "All models are stopped" in page.text()
    assert problem in page.text()


def test_an_empty_console_says_what_to_do(page: Page, tmp_path: Path) -> None:
    with serving(BusyConsole(tmp_path)) as served:
        for path, words in (
            ("/", "No study has arrived yet"),
            ("/studies?show=late", "No study missed its deadline"),
            ("/queue", "Nothing waits and nothing runs"),
            ("/dead-letters", "every result has arrived or is on its way"),
            ("/ledger", "Not proved since the start"),
        ):
            page.goto(served.url + path)
            assert words in page.text()
            assert page.violations() == []
