"""Promise: a viewer that shows presentation states draws ours on the right slice, in shape and words.

What is measured: outline and words on its screen, and, by the same makers' ``dcmp2pgm``, that the
slice below has exactly the grey that it has without the state.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lightbox.domain.arrays import Picture
from lightbox.results.pointing.presentation_state import PresentationState
from viewers import dicomscope, ramp
from viewers.dicomscope import Dicomscope
from viewers.seen import keep

pytestmark = pytest.mark.slow

_SHIFT = -2.0
"""Pixels by which DICOMscope 3.6.0 draws what is given in pixels too far up and left, at any spacing
(PS3.3 C.10.5.1.2: 0\\0 is the corner of the first pixel; the object holds 22\\14, it draws 20\\12)."""
_WORDS = 12
"""Rows of the image in which the words stand, above the outline."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the ramp's files, and last its presentation state."""
    folder = tmp_path_factory.mktemp("source")
    sources = ramp.write(folder, ramp.STACKS["oblique"], "DICOMscope")
    data = PresentationState().write(ramp.explained(sources))
    assert data is not None
    state = folder / "state.dcm"
    state.write_bytes(data)
    return [*sources, state]


def extent(seen: npt.NDArray[np.bool_], scale: float) -> list[float]:
    """Return first and last row, first and last column, in pixels of the image."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return [rows[0] / scale, (rows[-1] + 1) / scale, columns[0] / scale, (columns[-1] + 1) / scale]


def test_dicomscope_draws_outline_and_words_on_the_slice(files: list[Path], tmp_path: Path) -> None:
    if not dicomscope.is_installed():
        pytest.skip("not installed: apt-get install dicomscope xvfb xdotool dcmtk")
    with Dicomscope(tmp_path / "dicomscope", files) as viewer:
        seen = viewer.presentation_state()
    keep("dicomscope-grad_cam-pr", seen)
    grey = seen.min(axis=2)
    tissue = np.flatnonzero(grey[grey.shape[0] // 2] == ramp.TISSUE)
    scale = (tissue[-1] + 1) / ramp.SIZE
    below = round(_WORDS * scale) - round(scale)
    assert (grey[:below] > 250).mean() > 0.01, "no words"

    lower = grey.copy()
    lower[: lower.shape[0] // 2] = 0
    square = extent(lower == ramp.SQUARE, scale)
    assert ramp.slice_at((square[2] + square[3]) / 2) == ramp.KEY

    white = grey > 250
    white[:below] = False
    line = 1.0  # its outlines are as wide as a pixel of the image
    rows, columns = (np.flatnonzero(ramp.region().any(axis)) for axis in (1, 0))
    wanted = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1], dtype=float)
    found = np.array(extent(white, scale)) + np.array([line, -line, line, -line]) / 2
    assert np.allclose(found - wanted, _SHIFT, atol=0.3), (found, wanted)


def test_the_slice_below_has_the_grey_that_it_has_without_the_state(
    files: list[Path], tmp_path: Path
) -> None:
    *sources, state = files

    def shown(*more: str) -> Picture:
        file = tmp_path / f"shown{len(more)}.pgm"
        subprocess.run(
            ["dcmp2pgm", *more, str(sources[ramp.KEY]), str(file)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        return np.asarray(Image.open(file))

    assert np.array_equal(shown("--pstate", str(state)), ramp.picture(ramp.KEY))
    assert np.array_equal(shown("--pstate", str(state)), shown())
