"""Templates become pages; numbers become words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape

from lightbox.version import __version__

_MINUTE = 60
_HOUR = 3600
_LONGEST = 120  # characters of a value on a page; the JSON has all of it
_NOTHING = "\N{EN DASH}"


class Renderer:
    """Renders the pages of ``templates/``; everything that is shown is escaped."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("lightbox.console"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(moment=moment, span=span, percent=percent, flat=flat)

    def page(self, name: str, status: int = 200, **values: object) -> HTMLResponse:
        """Return the page ``name`` with these values."""
        template = self._environment.get_template(f"{name}.html")
        return HTMLResponse(template.render(version=__version__, **values), status)


def moment(at: object) -> str:
    """Write a moment (seconds since 1970) as people do, UTC."""
    if not isinstance(at, int | float) or not at:
        return _NOTHING
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: object) -> str:
    """Write a length of time: 1.43 s, 2 min 5 s, 3 h 10 min."""
    if not isinstance(seconds, int | float):
        return _NOTHING
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"


def percent(share: object) -> str:
    """Write a share from 0 to 1 in per cent."""
    return f"{share:.0%}" if isinstance(share, int | float) else _NOTHING


def flat(values: object, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of nested tables with its name in words; what is empty is left out."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from flat(value, f"{above} {key}".strip())
    elif isinstance(values, list | tuple) and any(isinstance(v, Mapping | list) for v in values):
        yield above.replace("_", " "), f"{len(values)}"
    elif values not in ("", None, [], ()):
        text = ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)
        yield above.replace("_", " "), text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
