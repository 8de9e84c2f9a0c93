"""What ``[[destinations]]`` say as a whole is checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightbox.app.site_check import problems
from lightbox.settings import Settings

PACS: dict[str, Any] = {"name": "pacs", "ae_title": "PACS"}
WEB: dict[str, Any] = {"name": "pacs", "stow": "https://pacs/dicom-web"}


def said(given: dict[str, Any]) -> list[str]:
    return [str(each) for each in problems(Settings.model_validate({"destinations": [given]}))]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (PACS | {"window": "at night"}, 'pacs: window: found \'at night\' (expected hours such as "22:00-06:00")'),
        (PACS | {"token": "t"}, "pacs: token, user: C-STORE knows no such secret (use tls with a certificate)"),
        (WEB | {"token": "t", "user": "u"}, "pacs: token, user: are both given (keep one of the two)"),
        (PACS | {"tls": {"certificate": "c.pem"}}, "pacs: tls: names no ca: TLS would not be spoken"),
        (WEB | {"stow": "http://pacs/d", "tls": {"ca": "c.pem"}}, "pacs: tls: is for https"),
        (PACS | {"tls": {"ca": "/gone.pem"}}, "pacs: tls.ca '/gone.pem': is no file"),
        (WEB | {"token": "file:/gone"}, "destinations.pacs.token: file /gone: No such file"),
        (WEB | {"to": "sender"}, "pacs: to: nobody knows what it calls us with (list that in sends_as)"),
        (PACS | {"calling_ae": "A" * 17}, "destinations[0].calling_ae"),
        (PACS | {"sends_as": ["A\\B"]}, "destinations[0].sends_as"),
    ],
)  # fmt: skip
def test_what_would_not_do_what_it_says_is_refused(given: dict[str, Any], line: str) -> None:
    (only,) = said(given)
    assert line in only


@pytest.mark.parametrize(
    "given",
    [
        PACS | {"window": "22:00-06:00", "to": "sender", "syntaxes": ["jpeg_ls", "explicit"]},
        PACS | {"tls": {"ca": "system", "name": "pacs.hospital"}},
        WEB | {"token": "t"},
        WEB | {"to": "sender", "sends_as": ["MODALITY"]},
    ],
)
def test_what_is_right_is_not_complained_about(given: dict[str, Any]) -> None:
    assert not said(given)


def test_no_complaint_and_no_listing_shows_a_secret(tmp_path: Path) -> None:
    from lightbox.cli.config import in_force

    given = WEB | {"token": "very-secret", "user": "u", "password": "also-secret"}
    settings = Settings.model_validate({"destinations": [given]})
    shown = f"{said(given)} {in_force(settings)} {settings!r} {settings}"
    assert "very-secret" not in shown
    assert "also-secret" not in shown
