"""Cards become pages; what could be a script becomes text."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.console.markdown import card_html

BODY = '<tbody><tr><th scope="row">1</th><td>2</td></tr></tbody></table>'
CARD = Path(__file__).parents[3] / "models" / "brain_tumour_mri" / "CARD.md"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Name", "<h2>Name</h2>"),
        ("### Deep", "<h4>Deep</h4>"),
        ("one\ntwo", "<p>one<br>two</p>"),
        ("- a **b**\n- `c`", "<ul><li>a <strong>b</strong></li><li><code>c</code></li></ul>"),
        (
            "| a | b |\n|---|---|\n| 1 | 2 |",
            f'<table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>{BODY}',
        ),
        (
            "| | |\n|---|---|\n| 1 | 2 |",
            f"<table>{BODY}",
        ),
        ("3 * 4 * 5", "<p>3 * 4 * 5</p>"),
        ("", ""),
    ],
)
def test_the_markdown_of_cards(text: str, html: str) -> None:
    assert card_html(text) == html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "# <img src=x onerror=alert(1)>",
        "| <b>a</b> |\n|---|\n| `<i>` |",
        "**<svg/onload=alert(1)>**",
        "[x](javascript:alert(1))",
    ],
)
def test_nothing_in_a_card_is_html(text: str) -> None:
    html = str(card_html(text))
    for tag in ("<script", "<img", "<b>", "<i>", "<svg", "<a "):
        assert tag not in html


def test_the_shipped_card_is_shown_whole() -> None:
    text = CARD.read_text()
    html = str(card_html(text))
    tables = [part for part in text.split("\n\n") if "\n|---" in part]
    assert html.count("<table>") == len(tables) > 3
    assert "balanced accuracy" in html
    assert "**" not in html
