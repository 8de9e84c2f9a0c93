"""The last look before an object leaves: dicom3tools' ``dciodvfy``, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

from lightbox.domain.errors import ResultError

_SECONDS = 30.0
FAULTS_OF_THE_SOURCE = (
    "Illegal root for UID",
    "has same value as FrameOfReferenceUID",
    "Value invalid for this VR [UI]",
)
"""Faults of the source's own UIDs, which a result must repeat to belong to it; ours have none."""


def validator() -> str | None:
    """Return the path of ``dciodvfy``, or None where dicom3tools is not installed."""
    return shutil.which("dciodvfy")


def first_errors(program: str, objects: Sequence[bytes]) -> list[str]:
    """Return, for each object, the first error that ``dciodvfy -new`` finds, "" if there is none.

    All objects are looked at side by side.

    Raises
    ------
    ResultError
        If the validator itself does not answer.
    """
    with ExitStack() as open_files:
        running = []
        for data in objects:
            file = open_files.enter_context(tempfile.NamedTemporaryFile(suffix=".dcm"))
            file.write(data)
            file.flush()
            running.append(_start(program, file.name))
        return [_first_error(process) for process in running]


def _start(program: str, path: str) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(  # noqa: S603  # a fixed program, a file name of ours
            [program, "-new", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ResultError("dciodvfy", str(error), "set validation off or repair it") from error


def _first_error(process: subprocess.Popen[str]) -> str:
    try:
        said, _ = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise ResultError("dciodvfy", str(error), "set validation off or repair it") from error
    for line in said.splitlines():
        if line.startswith("Error") and not any(fault in line for fault in FAULTS_OF_THE_SOURCE):
            return line
    return ""
