"""A result that is made again, in another process at another time, is the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from hashlib import sha256
from explained_builders import an_explained
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport
for method in ("grad_cam", "shapley"):
    for writer in (SecondaryCapture(), Segmentation(), StructuredReport(), ParametricMap(fast=True)):
        print(writer.kind, sha256(writer.write(an_explained(method=method))).hexdigest())
"""


def digests(seed: str, zone: str) -> list[str]:
    tests = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(tests), "PYTHONHASHSEED": seed, "TZ": zone},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def test_two_processes_in_two_time_zones_make_the_same_bytes() -> None:
    first = digests("1", "UTC")
    assert len(first) == 8
    assert first == digests("2", "Asia/Tokyo")
