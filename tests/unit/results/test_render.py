"""The picture: readable at every size, its corners left to the viewer, no patient on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from explained_builders import a_header, a_lesion, a_package, a_picture, an_explained
from lightbox.domain.explained import Explained
from lightbox.results.header.source import key_source
from lightbox.results.lesion.colours import LESION_COLOURS
from lightbox.results.picture import colour
from lightbox.results.picture.panels import view_of
from lightbox.results.picture.render import render
from lightbox.results.picture.typeset import font, legible, width_of, wrap
from lightbox.results.wording import headline


def drawn(explained: Explained) -> np.ndarray:
    return render(explained, key_source(explained))


SHAPES = [(64, 64), (256, 256), (5000, 3800), (300, 1200), (1200, 200), (7, 900)]


@pytest.mark.parametrize("method", ["grad_cam", "shapley"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_a_picture_with_empty_corners(
    shape: tuple[int, int], method: str
) -> None:
    picture = drawn(an_explained(a_header(*shape, PixelSpacing=None), method=method))
    height, width, _ = picture.shape
    assert 1000 <= width <= 1800
    assert height <= 1300
    across, top, bottom = width * 16 // 100, 100, 60
    for corner in (
        picture[:top, :across],
        picture[:top, -across:],
        picture[-bottom:, :across],
        picture[-bottom:, -across:],
    ):
        assert (corner == colour.BACKGROUND).all()


def test_the_warning_is_in_the_middle_above() -> None:
    picture = drawn(an_explained())
    band = (picture[20] == colour.WARNING).all(axis=1)
    columns = np.flatnonzero(band)
    assert columns.size > 400
    assert columns.mean() == pytest.approx(picture.shape[1] / 2, abs=2)


def test_the_original_is_shown_untouched_beside_the_overlay() -> None:
    shown = drawn(an_explained(a_header(640, 640), picture=a_picture(640, 640)))
    left = shown[150 : 150 + 640, 40 : 40 + 640]
    assert np.array_equal(left[..., 0], a_picture(640, 640))


def test_the_heat_is_where_the_attribution_is() -> None:
    explained = an_explained(a_header(640, 640), picture=np.zeros((640, 640), dtype=np.uint8))
    shown = drawn(explained).astype(int)
    right = shown[150 : 150 + 640, 708 : 708 + 640]
    rows, columns = np.nonzero(right[..., 0] > 120)
    peak = np.unravel_index(np.argmax(explained.attribution.source_map), (640, 640))
    assert rows.mean() == pytest.approx(peak[0], abs=12)
    assert columns.mean() == pytest.approx(peak[1], abs=12)


def test_under_fifteen_per_cent_the_anatomy_stays_as_it_is() -> None:
    explained = an_explained(a_header(640, 640), picture=a_picture(640, 640))
    right = drawn(explained)[150 : 150 + 640, 708 : 708 + 640]
    source_map = explained.attribution.source_map
    cold = source_map < 0.14 * source_map.max()
    assert np.array_equal(right[..., 1][cold], a_picture(640, 640)[cold])


def test_a_normal_study_has_no_outline_that_would_look_like_a_lesion() -> None:
    flat = np.full((640, 640), 90, dtype=np.uint8)
    found = drawn(an_explained(a_header(640, 640), picture=flat))[150:790, 708:1348]
    normal = drawn(an_explained(a_header(640, 640), picture=flat, target=2))[150:790, 708:1348]
    assert (found == colour.OUTLINE).all(axis=2).any()
    assert not (normal == colour.OUTLINE).all(axis=2).any()


def test_supporting_regions_are_orange_and_opposing_ones_blue() -> None:
    explained = an_explained(
        a_header(640, 640), picture=np.full((640, 640), 90, dtype=np.uint8), method="shapley"
    )
    right = drawn(replace(explained, fast=None))[150 : 150 + 640, 708 : 708 + 640].astype(int)
    supports, opposes = right[260, 300], right[600, 600]
    assert supports[0] > supports[2] + 60
    assert opposes[2] > opposes[0] + 30


PANELS = [slice(40 + 540 * number, 40 + 540 * number + 512) for number in range(3)]
"""Columns of three square panels."""


def test_an_audit_stands_beside_the_original_and_the_fast_map_that_it_is_of() -> None:
    flat = np.full((512, 512), 90, dtype=np.uint8)
    explained = an_explained(a_header(512, 512), picture=flat, method="shapley")
    assert explained.fast is not None
    rows = slice(150, 150 + 512)
    original, fast, audit = (drawn(explained)[rows, columns] for columns in PANELS)
    assert (original == 90).all()
    peak = np.unravel_index(np.argmax(explained.fast.source_map), (512, 512))
    assert fast[peak][0] > 150
    supports, opposes = audit[200, 240].astype(int), audit[470, 470].astype(int)
    assert supports[0] > supports[2] + 60
    assert opposes[2] > opposes[0] + 30


def test_a_lesion_is_outlined_on_a_panel_of_its_own_in_the_colour_of_its_segment() -> None:
    flat = np.full((512, 512), 90, dtype=np.uint8)
    explained = an_explained(a_header(512, 512), picture=flat)
    lesion = a_lesion(explained)
    shown = drawn(replace(explained, lesions=(lesion,)))[150 : 150 + 512]
    coloured = [(shown[:, at] == LESION_COLOURS[0]).all(axis=2) for at in PANELS]
    assert [bool(panel.any()) for panel in coloured] == [False, True, False]
    rows, columns = np.nonzero(coloured[1])
    inside = np.nonzero(lesion.planes[0].mask)
    assert rows.mean() == pytest.approx(inside[0].mean(), abs=3)
    assert np.ptp(columns) == pytest.approx(np.ptp(inside[1]), abs=4)
    assert (shown[:, PANELS[1]][inside] == 90).all(axis=1).mean() > 0.7, "anatomy stays visible"


def test_the_patient_is_not_on_it() -> None:
    named = a_header(PatientName="Somebody^Famous", PatientID="X99")
    assert np.array_equal(drawn(an_explained(named)), drawn(an_explained(a_header())))


def test_unequal_spacing_is_shown_in_true_proportions() -> None:
    view = view_of((256, 256), (1.0, 0.5))
    assert view.size == (320, 640)


def test_a_source_in_colour_stays_in_colour() -> None:
    picture = np.zeros((640, 640, 3), dtype=np.uint8)
    picture[..., 1] = 77
    shown = drawn(an_explained(a_header(640, 640), picture=picture))
    assert shown[400, 100].tolist() == [0, 77, 0]


def test_warnings_make_the_picture_longer_not_fuller() -> None:
    explained = an_explained()
    warned = replace(
        explained, attribution=replace(explained.attribution, warnings=("word " * 60,))
    )
    assert drawn(warned).shape[0] > drawn(explained).shape[0]


def test_text_is_wrapped_within_its_width_and_loses_nothing() -> None:
    text = "a Verdrängungserscheinung " + "x" * 300 + " end"
    lines = wrap(text, 20, 400)
    assert all(width_of(line, 20) <= 400 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_letter_without_a_shape_is_a_question_mark_not_a_box() -> None:
    assert (
        legible("\u05de\u05d9\u05d5\u05df, Łódź \u2212 5 mm\u00b2")
        == "????, Łódź \u2212 5 mm\u00b2"
    )


@pytest.mark.parametrize(
    "label",
    [
        "\u80f6\u8d28\u7624",
        "\u05d2\u05dc\u05d9\u05d5\u05de\u05d4",
        "\u0413\u043b\u0438\u043e\u043c\u0430",
    ],
)
def test_a_finding_named_in_letters_that_no_picture_has_goes_by_its_code(label: str) -> None:
    finding = a_package().findings[0].model_copy(update={"label": label})
    package = a_package(findings=(finding, *a_package().findings[1:]))
    assert headline(an_explained(package=package)) == "Glioma, calibrated confidence 93 %"


@pytest.mark.parametrize("letter", list("äöüßÄÖÜéèçñøåÆłşž±°\u00d7\u2212\u2013"))
def test_every_latin_letter_has_a_shape(letter: str) -> None:
    assert bytes(font(20).getmask(letter)) != bytes(font(20).getmask("\u4e00"))
