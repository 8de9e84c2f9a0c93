"""A model's card as a page: the little Markdown that cards use, and nothing that could be a script.

Headings, paragraphs, lists, tables, ``**strong**``, `` `code` ``; everything is escaped first, and
what is not understood stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from markupsafe import Markup, escape

_INLINE = ((re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
           (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
           (re.compile(r"(?<!\w)\*(?=\S)([^*]+)(?<=\S)\*(?!\w)"), r"<em>\1</em>"))  # fmt: skip
_HEADING = re.compile(r"(#{1,4})\s+(.*)")
_RULE = re.compile(r"[|:\s-]+")
_ITEM = re.compile(r"[-*]\s+")
_BELOW = 1  # a card's "#" is under the page's own heading


def card_html(text: str) -> Markup:
    """Return a card's text as HTML."""
    return Markup("\n").join(_blocks(text))


def _blocks(text: str) -> Iterator[Markup]:
    for kind, group in groupby(text.splitlines(), key=_kind):
        lines = list(group)
        if kind == "heading":
            yield from map(_heading, lines)
        elif kind == "table":
            yield _table(lines)
        elif kind == "list":
            items = Markup().join(
                Markup("<li>{}</li>").format(_inline(_ITEM.sub("", line, count=1)))
                for line in lines
            )
            yield Markup("<ul>{}</ul>").format(items)
        elif kind == "text":
            yield Markup("<p>{}</p>").format(Markup("<br>").join(map(_inline, lines)))


def _kind(line: str) -> str:
    if not line.strip():
        return ""
    if _HEADING.match(line):
        return "heading"
    if line.startswith("|"):
        return "table"
    return "list" if _ITEM.match(line) else "text"


def _heading(line: str) -> Markup:
    found = _HEADING.match(line)
    assert found is not None
    level = min(len(found[1]) + _BELOW, 6)
    return Markup("<h{0}>{1}</h{0}>").format(level, _inline(found[2]))


def _table(lines: list[str]) -> Markup:
    has_head = len(lines) > 1 and _RULE.fullmatch(lines[1]) is not None
    head = _cells(lines[0]) if has_head else []
    rows = [_cells(line) for line in lines[2 if has_head else 0 :]]
    top = Markup()
    if any(head):
        names = Markup().join(Markup('<th scope="col">{}</th>').format(cell) for cell in head)
        top = Markup("<thead><tr>{}</tr></thead>").format(names)
    body = Markup().join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            row[0], Markup().join(Markup("<td>{}</td>").format(cell) for cell in row[1:])
        )
        for row in rows
    )
    return Markup("<table>{}<tbody>{}</tbody></table>").format(top, body)


def _cells(line: str) -> list[Markup]:
    return [_inline(cell.strip()) for cell in line.strip().strip("|").split("|")]


def _inline(text: str) -> Markup:
    found = str(escape(text))
    for pattern, replacement in _INLINE:
        found = pattern.sub(replacement, found)
    return Markup(found)  # noqa: S704  # escaped before anything was put around it
