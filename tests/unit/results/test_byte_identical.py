"""A result that is made again, in another process at another time, is the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from explained_builders import an_explained
from lightbox.results.header import source
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.pointing.key_images import KeyImages
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport

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
        timeout=300,
    )
    return done.stdout.splitlines()


def test_an_object_is_the_same_whichever_were_made_of_the_source_before_it() -> None:
    explained = an_explained(method="shapley")
    writers = (
        SecondaryCapture(), KeyImages(), StructuredReport(), Segmentation(), ParametricMap(),
    )  # fmt: skip
    together = [writer.write(explained) for writer in writers]
    alone = []
    for writer in writers:
        source._source_of.cache_clear()  # as in a process that starts
        alone.append(writer.write(explained))
    assert together == alone
    assert [writer.write(explained) for writer in writers[::-1]] == alone[::-1]


def test_two_processes_in_two_time_zones_make_the_same_bytes() -> None:
    first = digests("1", "UTC")
    assert len(first) == 8
    assert first == digests("2", "Asia/Tokyo")
