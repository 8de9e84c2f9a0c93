"""DICOMscope, the viewer with which its makers showed what presentation states are.

OHIF and Orthanc show none. It runs on a screen that nobody sees (Xvfb), fed by its own database of
files, and is handled as by a person: what is clicked is where it draws the tree of studies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageGrab

from lightbox.domain.arrays import Picture

JAR = Path("/usr/share/java/DICOMscope.jar")
_LIBRARIES = "/usr/lib/x86_64-linux-gnu/jni"
_SCREEN = (1152, 864)
_TREE = (200, (97, 129, 145))
"""Where it draws the study, the second series and its first object, when those above are open."""
_WIDTH, _LINE = 100, 6
_WRITTEN, _DRAWN = (0.01, 0.4), (0.0005, 0.4)
"""How much is dark where a line of the tree is, and white where an image with an outline is."""
_VIEW = (slice(68, 794), slice(7, 885))
"""Rows and columns of the screen in which it draws images."""
_CONFIGURATION = """\
[[GENERAL]]
[APPLICATION]
LogDirectory = log
LogLevel = ERROR
MessagePort = 0
[MONITOR]
Resolution = {0}\\{1}
ScreenSize = 400\\300
PreviewSize = 256\\256
[DATABASE]
Directory = {2}
[GUI]
PSPanelOn = true
[[COMMUNICATION]]
"""


def is_installed() -> bool:
    """Say whether DICOMscope and what it runs on are there."""
    return JAR.exists() and all(map(shutil.which, ("java", "Xvfb", "xdotool", "dcmqridx")))


class Dicomscope:
    """Runs while it is entered, with one study.

    Parameters
    ----------
    folder : Path
        For its database; empty.
    files : iterable of Path
        Images of one series and one presentation state.
    """

    def __init__(self, folder: Path, files: Iterable[Path], patience: float = 120.0) -> None:
        self._folder, self._patience = folder, patience
        database = folder / "database"
        (folder / "log").mkdir(parents=True)
        database.mkdir()
        copies = [str(shutil.copy(file, database)) for file in files]
        subprocess.run(["dcmqridx", database, *copies], check=True, capture_output=True, timeout=60)
        text = _CONFIGURATION.format(*_SCREEN, database)
        (folder / "DICOMscope.cfg").write_text(text)

    def __enter__(self) -> Self:
        reading, writing = os.pipe()
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{_SCREEN[0]}x{_SCREEN[1]}x24",
             "-nolisten", "tcp"],
            pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as said:
            self._display = f":{said.readline().strip()}"
        self._viewer = subprocess.Popen(
            ["java", "-Xmx512m", f"-Djava.library.path={_LIBRARIES}", "-jar", str(JAR)],
            cwd=self._folder, env={**os.environ, "DISPLAY": self._display},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._viewer, self._screen):
            process.terminate()
            process.wait(30)

    def presentation_state(self) -> Picture:
        """Open the study's presentation state; return what it draws, shape (rows, columns, 3)."""
        column, rows = _TREE
        for row in rows:
            line = (slice(row - _LINE, row + _LINE), slice(column - _WIDTH, column + _WIDTH))
            self._until(lambda p, line=line: _WRITTEN[0] < _dark(p[line]) < _WRITTEN[1], "a line")  # type: ignore[misc]
            self._double_click(column, row)
        drawn = self._until(lambda p: _DRAWN[0] < 1 - _dark(p[_VIEW], 251) < _DRAWN[1], "an image")
        return drawn[_VIEW]

    def _double_click(self, x: int, y: int) -> None:
        subprocess.run(
            ["xdotool", "mousemove", str(x), str(y), "click", "--repeat", "2", "--delay", "80", "1"],
            check=True, timeout=60, env={**os.environ, "DISPLAY": self._display},
        )  # fmt: skip

    def _until(self, holds: Callable[[Picture], bool], what: str) -> Picture:
        """Look until it holds of the screen and nothing moves any more."""
        nap = threading.Event()
        give_up = time.monotonic() + self._patience
        before: Picture | None = None
        while time.monotonic() < give_up and self._viewer.poll() is None:
            image: Image.Image = ImageGrab.grab(xdisplay=self._display)
            seen = np.asarray(image.convert("RGB"))
            if before is not None and np.array_equal(seen, before) and holds(seen):
                return seen
            before = seen
            nap.wait(0.5)
        raise AssertionError(f"DICOMscope never showed {what}")


def _dark(pixels: Picture, less_than: int = 128) -> float:
    """Return the share of pixels that are darker than that."""
    return float((pixels.min(axis=2) < less_than).mean())
