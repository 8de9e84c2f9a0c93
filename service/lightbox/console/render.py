"""Templates become pages; numbers become words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape

from lightbox.domain.quantities import as_percent
from lightbox.version import __version__

_MINUTE = 60
_HOUR = 3600
_DAY = 86400
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
        self._environment.filters.update(words=words, paced=paced, due=due, ago=ago, stamp=stamp)
        self._environment.filters.update(size=as_gigabytes, number=number)

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
        return _of_two(seconds, _MINUTE, ("min", "s"), 1)
    return _of_two(seconds, _HOUR, ("h", "min"), _MINUTE)


def _of_two(seconds: float, large: int, units: tuple[str, str], small: int) -> str:
    """Write a length in two units; what would be 0 of the smaller one is left out."""
    many, few = divmod(round(seconds / small), large // small)
    return f"{many} {units[0]} {few} {units[1]}" if few else f"{many} {units[0]}"


def stamp(at: object) -> str:
    """Write a moment for machines: ISO 8601, UTC."""
    if not isinstance(at, int | float) or not at:
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def ago(at: object, now: float) -> str:
    """Write how long ago something was: 12 s ago, 3 min ago."""
    if not isinstance(at, int | float) or not at:
        return _NOTHING
    return f"{_coarse(max(0.0, now - at))} ago"


def due(deadline: object, now: float) -> str:
    """Write what is left until a deadline, or by how much it has passed."""
    if not isinstance(deadline, int | float) or not deadline:
        return _NOTHING
    left = deadline - now
    return f"due in {_coarse(left)}" if left >= 0 else f"overdue by {_coarse(-left)}"


def as_gigabytes(size_bytes: object) -> str:
    """Write a size in gigabytes: 12.3 GB."""
    return f"{size_bytes / 1e9:,.1f} GB" if isinstance(size_bytes, int | float) else _NOTHING


def number(value: object) -> str:
    """Write a number with three digits that count; a count with its thousands apart."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.3g}" if isinstance(value, float) else _NOTHING


def percent(share: object) -> str:
    """Write a share from 0 to 1 in per cent."""
    return as_percent(share) if isinstance(share, int | float) else _NOTHING


def words(name: object) -> str:
    """Write a name of ours, such as ``pituitary_tumour``, in words."""
    return str(name).replace("_", " ") if name else _NOTHING


def _coarse(seconds: float) -> str:
    if seconds < _HOUR:
        return span(round(seconds) if seconds >= 1 else round(seconds, 1))
    if seconds < 2 * _DAY:
        return span(seconds)
    return f"{seconds / _DAY:.0f} days"


class Paced(NamedTuple):
    """An event of a timeline: seconds since the first one, and since the one before it."""

    event: Mapping[str, object]
    offset: float
    took: float
    is_longest: bool


def paced(events: Sequence[Mapping[str, object]], turnaround: float | None) -> list[Paced]:
    """Say how long each step took; the longest on the way to the turnaround is marked."""
    times = [at for event in events if isinstance(at := event.get("at"), int | float)]
    if len(times) != len(events):
        return [Paced(event, 0.0, 0.0, is_longest=False) for event in events]
    took = [after - before for before, after in itertools.pairwise(times[:1] + times)]
    until = times[0] + (turnaround if turnaround is not None else float("inf")) if times else 0.0
    longest = max((t for t, at in zip(took, times, strict=True) if at <= until), default=0.0)
    return [
        Paced(event, at - times[0], t, is_longest=t == longest > 0)
        for event, at, t in zip(events, times, took, strict=True)
    ]


def flat(values: object, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of nested tables with its name in words; what is empty is left out."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from flat(value, f"{above} {key}".strip())
    elif isinstance(values, list | tuple) and any(isinstance(v, Mapping | list) for v in values):
        yield words(above), f"{len(values)}"
    elif values not in ("", None, [], ()):
        text = ", ".join(map(str, values)) if isinstance(values, list | tuple) else str(values)
        yield words(above), text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
