"""Names of files. They are made by us: nothing that a peer sends becomes part of a path."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from functools import lru_cache

from lightbox.domain.identity import is_uid

INSTANCES = "instances"
"""Folder of received instances, one folder per day in it."""

RESULTS = "results"
"""Folder of what we made, one folder per day in it."""

_SECONDS_OF_A_DAY = 86_400
_DIGITS = 24


def token() -> str:
    """Draw a name that nobody else has: 24 hexadecimal digits."""
    return tokens(1)[0]


def tokens(count: int) -> list[str]:
    """Draw several at once: asking the kernel for each costs more than making the file."""
    drawn = secrets.token_hex(count * _DIGITS // 2)
    return [drawn[at : at + _DIGITS] for at in range(0, len(drawn), _DIGITS)]


def day(now: float) -> str:
    """Return the folder of a day, UTC, as YYYYMMDD."""
    return _day(int(now // _SECONDS_OF_A_DAY))


@lru_cache(maxsize=4)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * _SECONDS_OF_A_DAY, UTC).strftime("%Y%m%d")


def instance_path(now: float) -> str:
    """Return a new path for an instance that arrives ``now``."""
    return f"{INSTANCES}/{day(now)}/{token()}.dcm"


def result_path(now: float, sop_instance_uid: str) -> str:
    """Return the path of a result; the same result made again on that day has the same path.

    Raises
    ------
    ValueError
        If the UID is none: it is ours, so this is a mistake of ours.
    """
    if not is_uid(sop_instance_uid):
        raise ValueError(f"{sop_instance_uid!r} is no UID")
    return f"{RESULTS}/{day(now)}/{sop_instance_uid}.dcm"
