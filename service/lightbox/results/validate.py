"""The last look before an object leaves: dicom3tools' ``dciodvfy``, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

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
    with Inspection(program) as inspection:
        for data in objects:
            inspection.begin(data)
        return inspection.first_errors()


class Inspection:
    """Looks at objects side by side, each from the moment in which it is there.

    Parameters
    ----------
    program : str or None
        ``dciodvfy``; None: nothing is looked at, and nothing found.
    """

    def __init__(self, program: str | None) -> None:
        self._program = program
        self._kept = ExitStack()
        self._running: list[subprocess.Popen[str] | None] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def begin(self, data: bytes) -> None:
        """Start to look at an object.

        Raises
        ------
        ResultError
            If the validator cannot be started.
        """
        if self._program is None:
            self._running.append(None)
            return
        # In memory: on a disk it would be written beside what waits to be synced.
        descriptor = os.memfd_create("inspected")
        self._kept.callback(os.close, descriptor)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        process = _start(self._program, descriptor)
        self._kept.callback(_end, process)
        self._running.append(process)

    def first_errors(self) -> list[str]:
        """Wait; return the first error of each object in order, "" if there is none.

        Raises
        ------
        ResultError
            If the validator does not answer.
        """
        return ["" if process is None else _first_error(process) for process in self._running]


def _end(process: subprocess.Popen[str]) -> None:
    """Let no process outlive what it looks at; nothing happens where it has ended."""
    process.kill()
    process.communicate()


def _start(program: str, descriptor: int) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(  # noqa: S603  # a fixed program, a file of ours
            [program, "-new", f"/dev/fd/{descriptor}"],
            pass_fds=(descriptor,),
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
