"""Times and sizes as people write them in a file: "5m", "0.3s", "5GB"."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZES = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "KB": 10**3, "B": 1}


def _seconds(value: object) -> object:
    found = re.fullmatch(r"(\d+\.?\d*)\s*(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if isinstance(value, str) and not found:
        raise ValueError('expected a time such as "2s", "5m", "24h" or "0.3s"')
    return float(found[1]) * _UNITS[found[2]] if found else value


def _bytes(value: object) -> object:
    found = re.fullmatch(r"(\d+\.?\d*)\s*([KMGT]?B)", value) if isinstance(value, str) else None
    if isinstance(value, str) and not found:
        raise ValueError('expected a size such as "5GB" or "200MB"')
    return int(float(found[1]) * _SIZES[found[2]]) if found else value


READS_TIME = BeforeValidator(_seconds)
"""Marks a field that is a time."""

READS_SIZE = BeforeValidator(_bytes)
"""Marks a field that is a size."""

Seconds = Annotated[float, READS_TIME, Field(ge=0)]
"""A time: "2s", "5m", "24h"; a plain number is seconds."""

Bytes = Annotated[int, READS_SIZE, Field(ge=0)]
"""A size: "5GB", "200MB"; a plain number is bytes."""


def as_time(seconds: float) -> str:
    """Write a time in its largest even unit: 300.0 → "5m", 0.3 → "0.3s"."""
    for unit, size in _UNITS.items():
        if size >= 1.0 and seconds >= size and seconds % size == 0:
            return f"{seconds / size:.15g}{unit}"
    return f"{seconds:.15g}s"


def as_percent(share: float) -> str:
    """Write a share, 0 to 1: "93 %"; never "100 %" or "0 %" of what is not certain."""
    if 0.99 < share < 1.0:
        return "> 99 %"
    return "< 1 %" if 0.0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def as_size(size_bytes: int) -> str:
    """Write a size in its largest even unit: 5000000000 → "5GB", 1536 → "1536B"."""
    for unit, size in _SIZES.items():
        if size_bytes >= size and size_bytes % size == 0:
            return f"{size_bytes // size}{unit}"
    return f"{size_bytes}B"
