"""What holds for every test of a folder; its ``conftest.py`` takes it from here."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes is the machine's business, and what else it does at that moment.
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")

_MOST_LEFT = 40
"""Files that a module may leave open; what libraries keep for good is among them."""


@pytest.fixture(autouse=True, scope="module")
def closes_what_it_opens() -> Iterator[None]:
    """Let no module leave many files open.

    The next module of the same process finds out in odd ways: with more than 1,024, ``select``
    fails, and every peer that pynetdicom plays falls silent.
    """
    before = _open_files()
    yield
    left = _open_files() - before
    if left > _MOST_LEFT:
        gc.collect()
        left = _open_files() - before
    assert left <= _MOST_LEFT, f"this module leaves {left} files open"


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
