"""The last look before an object leaves: dicom3tools' ``dciodvfy``, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile

from lightbox.domain.errors import ResultError

_SECONDS = 30.0
_OF_THE_SOURCE = ("Illegal root for UID", "has same value as FrameOfReferenceUID")
"""Faults of the source's own UIDs, which a result must repeat to belong to it."""


def validator() -> str | None:
    """Return the path of ``dciodvfy``, or None where dicom3tools is not installed."""
    return shutil.which("dciodvfy")


def first_error(program: str, data: bytes) -> str:
    """Return the first error that ``dciodvfy -new`` finds, "" if there is none.

    Raises
    ------
    ResultError
        If the validator itself does not answer.
    """
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        try:
            done = subprocess.run(  # noqa: S603  # a fixed program, a file name of ours
                [program, "-new", file.name],
                capture_output=True,
                timeout=_SECONDS,
                check=False,
                text=True,
                errors="replace",
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ResultError("dciodvfy", str(error), "set validation off or repair it") from error
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith("Error") and not any(fault in line for fault in _OF_THE_SOURCE):
            return line
    return ""
