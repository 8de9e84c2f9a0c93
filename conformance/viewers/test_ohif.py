"""Promise: OHIF, which many hospitals read with, shows our results rightly, and says nothing in red.

A real browser, a real archive, a series whose slices show which one they are. What is asserted was
measured in the pixels of the screen, not asked of the viewer: what it prints beside a slice may be
another number, and an overlay of every slice but the right one looks as good.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lightbox.domain.arrays import Mask, Picture
from lightbox.domain.result import ResultKind
from lightbox.results.provenance import to_file
from lightbox.tools.orthanc import Orthanc
from viewers import ramp
from viewers.objects import made_of, store
from viewers.seen import Seen, likeness, overlap
from viewers.study import Study

Opening = Callable[..., Study]
Showing = Callable[[str, ResultKind], tuple[Study, Dataset]]

QUICK = "axial, head first"
"""In ``make test``; all others in ``make viewers``."""
STACKS = [
    pytest.param(name, marks=() if name == QUICK else pytest.mark.slow, id=name)
    for name in ramp.STACKS
]
_ALIKE = 0.75
_LOWER_HALF = 60
_LETTER = 6
"""Rows of the image at its top over which the viewer writes where the patient's side is."""


def seen_in(pixels: Picture) -> Seen:
    return Seen(pixels, ramp.SIZE)


def number_of(pixels: Picture) -> int | None:
    """Return which slice is seen, by its pixels; None as long as none is."""
    seen = seen_in(pixels)
    box = seen.box
    if box is None or abs((box.bottom - box.top) - (box.right - box.left)) > 4:
        return None
    return ramp.slice_at(seen.brightest_column(_LOWER_HALF))


def coloured_slices(study: Study) -> dict[int, Mask]:
    """Go through the series; return what is coloured on each slice."""
    found: dict[int, Mask] = {}
    for place in range(ramp.SLICES):
        study.jump(place)
        pixels = study.until(
            lambda p: number_of(p) not in {None, *found}, f"a slice beside {sorted(found)}"
        )
        at = number_of(pixels)
        assert at is not None
        found[at] = seen_in(pixels).coloured()
    assert sorted(found) == list(range(ramp.SLICES)), "each slice shows its own number"
    return found


def lies_on(coloured: dict[int, Mask]) -> dict[int, list[list[int]]]:
    """Return the coloured pixels, as row and column, of the slices that have any."""
    below = {index: mask[_LETTER:] for index, mask in coloured.items()}
    return {index: np.argwhere(mask).tolist() for index, mask in below.items() if mask.any()}


@pytest.fixture
def shown(archive: Orthanc, opened: Opening, tmp_path: Path) -> Showing:
    """Store a ramp with its result of one kind, open the study, double-click the result."""

    def show(stack: str, kind: ResultKind) -> tuple[Study, Dataset]:
        files = ramp.write(tmp_path, ramp.STACKS[stack], f"{stack}, {kind}")
        data = made_of(ramp.explained(files))[kind]
        store(archive, files, [data])
        dataset = pydicom.dcmread(io.BytesIO(data))
        study = opened(str(dataset.StudyInstanceUID), 2)
        study.show(int(dataset.SeriesNumber))
        return study, dataset

    return show


@pytest.mark.parametrize("stack", STACKS)
def test_a_map_lies_on_the_slice_that_it_was_computed_for(stack: str, shown: Showing) -> None:
    study, _ = shown(stack, ResultKind.PARAMETRIC_MAP)
    coloured = coloured_slices(study)
    assert overlap(coloured.pop(ramp.KEY), ramp.region()) > _ALIKE
    assert lies_on(coloured) == {}, "nothing lies on any other slice"
    assert study.problems() == []


@pytest.mark.slow
def test_a_map_with_its_frames_in_another_order_would_be_found_out(
    archive: Orthanc, opened: Opening, tmp_path: Path
) -> None:
    """The same valid map, its frames and their positions reversed: the viewer mirrors it."""
    files = ramp.write(tmp_path, ramp.STACKS[QUICK], "reversed")
    data = made_of(ramp.explained(files))[ResultKind.PARAMETRIC_MAP]
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[::-1]
    frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(ramp.SLICES, -1)
    dataset.FloatPixelData = frames[::-1].tobytes()
    store(archive, files, [to_file(dataset)])
    study = opened(str(dataset.StudyInstanceUID), 2)
    study.show(int(dataset.SeriesNumber))
    coloured = coloured_slices(study)
    assert not coloured[ramp.KEY].any()
    mirrored = ramp.SLICES - 1 - ramp.KEY
    assert coloured[mirrored].any(), "if a new OHIF has mended this, any order may be sent"


@pytest.mark.slow
@pytest.mark.parametrize("stack", ramp.STACKS)
def test_a_region_lies_on_the_right_pixels_of_the_right_slice(stack: str, shown: Showing) -> None:
    study, _ = shown(stack, ResultKind.SEGMENTATION)
    study.decline()
    coloured = coloured_slices(study)
    assert overlap(coloured.pop(ramp.KEY), ramp.region()) > _ALIKE
    assert lies_on(coloured) == {}, "nothing lies on any other slice"
    assert study.problems() == []


@pytest.mark.slow
def test_a_region_has_the_colour_that_the_object_asks_for(shown: Showing) -> None:
    study, dataset = shown(QUICK, ResultKind.SEGMENTATION)
    study.decline()
    pixels = study.until(
        lambda p: number_of(p) == ramp.KEY and bool(seen_in(p).coloured().any()), "the region"
    )
    (segment,) = dataset.SegmentSequence
    asked = hd.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue)
    towards = np.array(asked.to_rgb(clip=True)) - ramp.TISSUE
    mixed = seen_in(pixels).sampled()[ramp.region()].mean(axis=0) - ramp.TISSUE
    likeness = towards @ mixed / np.linalg.norm(towards) / np.linalg.norm(mixed)
    assert likeness > 0.95, (towards, mixed)


@pytest.mark.slow
@pytest.mark.parametrize("stack", ramp.STACKS)
def test_the_outline_of_a_report_lies_on_the_right_image(stack: str, shown: Showing) -> None:
    study, _ = shown(stack, ResultKind.STRUCTURED_REPORT)
    pixels = study.until(
        lambda p: number_of(p) == ramp.KEY and bool(study.shapes()), "an outline on the key slice"
    )
    box = seen_in(pixels).box
    assert box is not None
    (shape,) = study.shapes()
    scale = (box.bottom - box.top) / ramp.SIZE
    found = [
        (shape["top"] - box.top) / scale, (shape["bottom"] - box.top) / scale,
        (shape["left"] - box.left) / scale, (shape["right"] - box.left) / scale,
    ]  # fmt: skip
    rows, columns = (np.flatnonzero(ramp.region().any(axis)) for axis in (1, 0))
    assert np.allclose(found, [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1], atol=1.0)
    assert "93" in study.words()
    assert study.problems() == []


@pytest.mark.slow
def test_the_picture_is_shown_whole(shown: Showing) -> None:
    study, dataset = shown(QUICK, ResultKind.SECONDARY_CAPTURE)
    study.until(lambda p: likeness(p, dataset.pixel_array) > 0.9, "the picture, whole")
    assert study.problems() == []
