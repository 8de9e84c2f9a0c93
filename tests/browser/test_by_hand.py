"""What a person does by hand or hears: keys, forms, live updates, logging in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from browser.conftest import Served
from busy_console import LATE, analysed, busy_console, job_of
from chromium import Page
from lightbox.app.operate.switch import Flag
from lightbox.console.server import create_app, serve
from lightbox.settings import Web

TOKEN = "a token that nobody can guess"


def test_a_page_is_worked_with_keys_alone(page: Page, console: Served) -> None:
    page.goto(console.url)
    page.press("Tab")
    assert page.focused() == "Skip to content"
    page.press("Enter")
    page.until("location.hash === '#main'")
    page.press("Tab")
    assert page.focused() == "3 studies missed the deadline"
    page.press_and_follow("Enter")
    assert "show=late" in page.url


def test_what_is_new_appears_is_read_out_and_leaves_the_focus_alone(
    page: Page, console: Served
) -> None:
    page.goto(console.url + "/queue")
    page.evaluate("window.kept = document.querySelector('#jobs a'); kept.focus()")
    page.evaluate("document.querySelector('#jobs details').open = true")
    console.busy.take(*analysed(job_of("new", console.busy.now))[:2])
    page.until("document.querySelectorAll('#jobs tbody tr').length === 3")
    assert page.evaluate("document.getElementById('news').textContent") == "3 jobs open."
    assert page.evaluate("kept.isConnected && kept === document.activeElement")
    assert page.evaluate("document.querySelector('#jobs details').open")


def test_updates_can_be_paused_and_a_lost_service_is_said(page: Page, console: Served) -> None:
    page.goto(console.url + "/models")
    page.click("button", "Pause updates")
    console.busy.stopped = (Flag("all", "anna", console.busy.now),)
    looks = (
        "performance.getEntriesByType('resource').filter(e => e.initiatorType === 'fetch').length"
    )
    before = page.evaluate(looks)
    page.evaluate("new Promise(done => setTimeout(done, 3500)).then(() => true)")
    assert page.evaluate(looks) == before
    assert "are stopped" not in page.text()
    page.click("button", "Pause updates")
    page.until_text("All models are stopped")
    console.stop()
    page.until("document.body.classList.contains('stale')")


def test_an_urgency_is_set_from_the_queue(page: Page, console: Served) -> None:
    page.goto(console.url + "/queue")
    page.evaluate("document.querySelector('#jobs select').value = 'STAT'")
    page.evaluate("document.querySelector('#jobs select').form.querySelector('button').focus()")
    page.press_and_follow("Enter")
    (asked,) = console.busy.asked
    assert (asked.action, asked.urgency) == ("urgency", "STAT")
    assert "Urgency: done" in page.text()


def test_a_dangerous_action_is_confirmed_and_its_refusal_is_said_at_once(
    page: Page, console: Served
) -> None:
    page.goto(f"{console.url}/studies/{LATE.study_instance_uid}")
    page.click("DisclosureTriangle", "Cancel its jobs…")
    assert console.busy.asked == []
    page.follow("button", "Cancel its jobs now")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "alert"
    assert "no job of it waits or runs" in page.text()
    assert "notice=" not in page.url
    assert page.violations() == []


def test_a_search_finds_and_pages_go_back_and_forth(page: Page, console: Served) -> None:
    page.goto(console.url + "/studies")
    page.follow("link", "Older")
    assert "Page 2" in page.text()
    page.follow("link", "Newer")
    page.write("searchbox", "UID, finding, model, modality or reason", "no_model")
    page.press_and_follow("Enter")
    assert page.evaluate("document.querySelectorAll('#studies tbody tr').length") == 1
    assert "not analysed" in page.text()
    page.follow("link", "Clear")
    assert "no_model" not in page.url


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A console with a token: its address, and the way in that a start prints."""
    with closing(busy_console(tmp_path)) as busy:
        app = create_app(busy.sources(), Web(token=TOKEN))
        server = serve(app, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.port}", app.state.entrance()
        server.close()


def test_a_person_logs_in_with_the_token_and_out_again(
    page: Page, guarded: tuple[str, str]
) -> None:
    url, _ = guarded
    page.goto(url + "/dead-letters")
    page.write("textbox", "Token", "wrong")
    page.press_and_follow("Enter")
    assert "This is not the token." in page.text()
    assert page.violations() == []
    page.goto(url + "/dead-letters")
    page.write("textbox", "Token", TOKEN)
    page.press_and_follow("Enter")
    assert page.url == url + "/dead-letters"
    assert "0xA700" in page.text()
    assert page.evaluate("document.cookie") == "", "no script may read the session"
    page.follow("button", "Retry result for ארכיון רנטגן, בית חולים")
    assert "Retry: done" in page.text()
    page.follow("button", "Log out")
    page.goto(url + "/dead-letters")
    assert "/login" in page.url


def test_the_link_of_a_start_lets_a_person_in_once(page: Page, guarded: tuple[str, str]) -> None:
    url, entrance = guarded
    page.goto(url + entrance)
    assert "What needs you" in page.text()
    page.follow("link", "Studies")
    assert "Missed deadline" in page.text()
    page.follow("button", "Log out")
    page.goto(url + entrance)
    assert "This link was used before" in page.text()
    assert page.violations() == []
