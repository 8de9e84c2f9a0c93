"""What of a configuration can change while the service runs, and what needs a restart. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lightbox.domain.keys import Location, spelled

Tree = Mapping[str, object]
"""A configuration as TOML has it, or a dump of the settings: tables, lists and values."""

LIVE: tuple[Location, ...] = (
    ("rules",),
    ("destinations",),
    ("deadlines",),
    ("studies",),
    ("audit",),
    ("dicom", "accept_called"),
    ("dicom", "accept_calling"),
    ("dicom", "max_associations"),
    ("dicom", "limits"),
    ("storage", "reserve"),
    ("models", "*", "audit_below"),
    ("models", "*", "destinations"),
)
"""Everything below these keys; ``*`` is any name."""

MEASURED: tuple[Location, ...] = (("audit", "chunk"), ("audit", "bound"))
"""Not these: what they mean on this device is measured when the worker starts."""

_ABSENT = object()


def is_live(at: Location) -> bool:
    """Say whether the key, and all below it, can change while the service runs."""
    if any(_begins(measured, at) for measured in MEASURED):
        return False
    return any(_begins(at, live) for live in LIVE)


def merged(old: Tree, new: Tree) -> dict[str, object]:
    """Return ``new`` where that can be taken up now, ``old`` elsewhere."""
    made = _merged(old, new, ())
    assert isinstance(made, dict)
    return made


def differences(old: Tree, new: Tree) -> tuple[str, ...]:
    """Return the keys whose values differ, as they are spelled in the file, in its order."""
    return tuple(spelled(at) for at in dict.fromkeys(_differing(old, new, ())))


def _merged(old: object, new: object, at: Location) -> object:
    if at and is_live(at):
        return new
    has_tables = isinstance(old, Mapping) or isinstance(new, Mapping)
    if at and not (has_tables and _has_live_below(at)):
        return old
    before, now = _table(old), _table(new)
    both = {
        key: _merged(before.get(key, _ABSENT), now.get(key, _ABSENT), (*at, key))
        for key in dict.fromkeys((*before, *now))
    }
    made = {key: value for key, value in both.items() if value is not _ABSENT}
    return made if made or not at else _ABSENT


def _has_live_below(at: Location) -> bool:
    if at in MEASURED:
        return False
    return any(_begins(live[: len(at)], at) or _begins(at, live) for live in LIVE)


def _begins(at: Location, start: Location) -> bool:
    """Say whether a location begins with another one, in which ``*`` is any name."""
    return len(at) >= len(start) and all(
        one == other or "*" in {one, other} for one, other in zip(at, start, strict=False)
    )


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _differing(old: object, new: object, at: Location) -> Iterator[Location]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differing(old.get(key, _ABSENT), new.get(key, _ABSENT), (*at, key))
    elif old != new:
        yield at
