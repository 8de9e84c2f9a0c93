"""The objects of an explanation, made by our writers and put into an archive."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.ports import ResultWriter
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport
from lightbox.tools.orthanc import Orthanc

_MODELS = Path(__file__).parents[2] / "models"
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_WRITERS: tuple[ResultWriter, ...] = (
    SecondaryCapture(),
    Segmentation(),
    ParametricMap(fast=True),
    StructuredReport(),
)

PICTURE, REGION, MAP, FINDINGS = 9001, 9010, 9020, 9030
"""Series Numbers of the fast path; those of an audit are one higher."""


def made_of(explained: Explained) -> dict[ResultKind, bytes]:
    """Return every object that applies to an explanation."""
    written = {writer.kind: writer.write(explained) for writer in _WRITERS}
    return {kind: data for kind, data in written.items() if data is not None}


def explain(out: Path, *arguments: str | Path) -> list[Path]:
    """Let the service's own command explain files by its brain model; return the results' files."""
    done = subprocess.run(
        [sys.executable, "-m", "lightbox", "explain", *map(str, arguments), "--model",
         "brain_tumour_mri", "--out", str(out)],
        check=False, capture_output=True, text=True, timeout=1200,
        env={**os.environ, "LIGHTBOX__MODELS__PATH": str(_MODELS)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(out.glob("*.dcm"))


def store(archive: Orthanc, files: Iterable[Path], objects: Iterable[bytes] = ()) -> None:
    """Put source files and results into an archive."""
    for data in (*(file.read_bytes() for file in files), *objects):
        put(archive.http_url, data)


def put(http_url: str, data: bytes) -> None:
    """Put one DICOM file into the Orthanc at this address."""
    with _LOCAL.open(urllib.request.Request(f"{http_url}/instances", data), timeout=60) as answer:
        assert answer.status == 200
