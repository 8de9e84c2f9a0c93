"""Without a manual: a person finds the study that missed its deadline, why, and mends a dead letter.

A real service, a real network, an archive that refuses; only clicks, on what a screen reader names.
``LIGHTBOX_PICTURES=FOLDER`` keeps what was seen: the pictures of ``deploy/README.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from chromium import Browser, Page
from lightbox.domain.standing import JobState
from lightbox.tools.archive import Archive, Reply
from site_of_tests import SAMPLES, Site, answered

PICTURES = os.environ.get("LIGHTBOX_PICTURES", "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Site]:
    """One study came late because the archive was full; of another it refused the picture."""
    folder = tmp_path_factory.mktemp("site")
    with Archive(folder / "archive") as archive:
        site = Site(folder, archive, "retries = 5\n[audit]\nmodalities = []\nsample = 0\n")
        text = site.config.read_text().replace('retry_first = "1s"', 'retry_first = "4s"')
        site.config.write_text(text)
        site.start()
        archive.script(Reply(0xA700, "volume 3 is full"))
        assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
        site.until(answered(1))
        archive.script(Reply(0xC001, "no room for this study"))
        assert site.send(SAMPLES[1]).returncode == 0
        site.until(
            lambda a: any(j.state is JobState.DEAD_LETTER for s in a.studies() for j in s.jobs)
        )
        yield site
        site.service.stop()


def keep(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(Path(PICTURES) / f"{name}.webp")


def uid_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def test_a_person_finds_why_a_study_was_late_and_sends_a_dead_letter_again(
    site: Site, browser: Browser
) -> None:
    page = browser.page()
    page.goto(site.web)
    page.until_text("2 studies missed the deadline")
    keep(page, "1-overview")

    page.follow("link", "2 studies missed the deadline")
    assert "/studies?show=late" in page.url
    keep(page, "2-late-studies")

    page.follow("link", uid_of(SAMPLES[0]))
    text = page.text()
    assert "Late by" in text
    assert "delivery (" in text
    assert "volume 3 is full" in text
    assert "called AE LIGHTBOX_STAT" in text
    page.until("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    keep(page, "3-why-it-was-late")

    page.follow("link", "Dead letters")
    text = page.text()
    assert "no room for this study" in text
    assert uid_of(SAMPLES[1]) in text
    keep(page, "4-dead-letter")

    page.follow("button", "Retry result for archive")
    text = page.text()
    assert "Retry: done" in text
    assert "archive: 1 result goes out again" in text
    page.until_text("There is none: every result has arrived or is on its way.")
    keep(page, "5-sent-again")
    site.until(answered(2))

    page.follow("link", "Ledger")
    page.follow("button", "Prove it now")
    page.until_text("Every accepted instance is accounted for")
    keep(page, "6-proof")
    assert page.problems() == []
    page.close()
    assert len(site.held()) == 6, "a picture, a region and a report of each"


def test_a_file_that_is_dropped_on_the_page_is_answered_and_not_kept(
    site: Site, page: Page
) -> None:
    page.goto(site.web + "/rules")
    page.drop("DICOM file", SAMPLES[2])
    page.until("document.getElementById('file').files.length === 1")
    page.follow("button", "Try")
    text = page.text()
    assert "ROUTINE" in text
    assert "because of default" in text
    assert "brain_tumour_mri" in text
    assert page.violations() == []
    kept = [
        file for file in site.data.rglob("*") if SAMPLES[2].stat().st_size <= file.stat().st_size
    ]
    assert not [
        file for file in kept if file.suffix == ".dcm" and uid_of(file) == uid_of(SAMPLES[2])
    ]


def test_an_echo_says_whether_the_archive_answers(site: Site, page: Page) -> None:
    page.goto(site.web + "/destinations")
    page.follow("button", "Echo archive")
    assert "answers in" in page.text()
    assert page.evaluate("document.activeElement.id") == "notice"


def test_a_stop_is_seen_on_every_page_and_ends_by_a_click(site: Site, page: Page) -> None:
    page.goto(site.web + "/models")
    page.click("DisclosureTriangle", "Stop brain_tumour_mri")
    page.follow("button", "Stop now")
    page.follow("link", "Studies")
    assert "brain_tumour_mri is stopped by console at 127.0.0.1" in page.text()
    page.follow("link", "Models")
    page.follow("button", "Resume brain_tumour_mri")
    page.until("!document.body.innerText.includes('is stopped by')")


def test_a_first_start_makes_a_token_and_prints_the_way_in(
    tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX__WEB__TOKEN", "auto")
    site = Site(tmp_path, Archive(tmp_path / "archive"))
    site.config.write_text(site.config.read_text().replace("port = 0", "port = 104"))
    site.start()
    try:
        assert site.service.web_url.startswith(site.web + "/login?once=")
        page.goto(site.web + "/studies")
        assert "/login" in page.url
        page.goto(site.service.web_url)
        assert "What needs you" in page.text()
        token = (site.data / "console-token").read_text().strip()
        assert token not in site.log.read_text()
    finally:
        assert site.service.stop() == 0
