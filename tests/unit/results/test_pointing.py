"""Presentation states and key image notes: on request, of the exact source frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from contracts.result_writer import ResultWriterContract, text_of, written
from explained_builders import a_header, an_explained
from lightbox.app import build
from lightbox.domain.explained import Explained
from lightbox.domain.prediction import FrameRef
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.ports import ResultWriter
from lightbox.results import codes
from lightbox.results.mask import region_mask
from lightbox.results.outline import outlines
from lightbox.results.pointing.key_images import KeyImages
from lightbox.results.pointing.presentation_state import PresentationState
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.settings import DestinationSettings, ResultSettings, Settings


def a_grey_header(rows: int = 256, columns: int = 256, **changes: object) -> Dataset:
    """Return a header that says how its image is displayed."""
    stated: dict[str, object] = {
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsStored": 12,
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        "WindowCenter": ["600", "40"],
        "WindowWidth": ["1600", "400"],
        **changes,
    }
    return a_header(rows, columns, **stated)


def explained_of_grey(rows: int = 256, columns: int = 256, **changes: object) -> Explained:
    return an_explained(a_grey_header(rows, columns, **changes))


class TestKeyImages(ResultWriterContract):
    @pytest.fixture
    def writer(self) -> ResultWriter:
        return KeyImages(picture=False)

    def test_it_names_the_key_frame_first_and_then_our_picture_of_it(self) -> None:
        explained = an_explained()
        note, picture = (written(each, explained) for each in (KeyImages(), SecondaryCapture()))
        named = [
            item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for item in note.ContentSequence
            if item.ValueType == "IMAGE"
        ]
        assert named == [explained.prediction.key_frame.sop_instance_uid, picture.SOPInstanceUID]
        (study,) = note.CurrentRequestedProcedureEvidenceSequence
        evidence = {
            item.ReferencedSOPInstanceUID: series.SeriesInstanceUID
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        assert evidence[picture.SOPInstanceUID] == picture.SeriesInstanceUID

    def test_it_says_what_was_found_in_it(self) -> None:
        assert "Glioma, calibrated confidence 93 %" in text_of(written(KeyImages(), an_explained()))

    def test_a_frame_is_named_among_the_items_and_not_in_the_evidence(self) -> None:
        header = a_header(SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1", NumberOfFrames=5)
        explained = an_explained(header)
        ref = FrameRef(header.SOPInstanceUID, 3)
        explained = replace(explained, prediction=replace(explained.prediction, key_frame=ref))
        note = written(KeyImages(picture=False), explained)
        assert note.ContentSequence[-1].ReferencedSOPSequence[0].ReferencedFrameNumber == 3
        (study,) = note.CurrentRequestedProcedureEvidenceSequence
        assert (
            "ReferencedFrameNumber"
            not in study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        )

    def test_a_normal_study_has_no_key_image(self) -> None:
        assert KeyImages().write(an_explained(target=2)) is None


class TestPresentationState:
    def test_it_outlines_what_the_segmentation_holds_in_source_pixels(self) -> None:
        explained = explained_of_grey()
        made = written(PresentationState(), explained)
        drawn = made.GraphicAnnotationSequence[0].GraphicObjectSequence
        polygons = outlines(region_mask(explained.attribution))
        assert len(drawn) == len(polygons)
        for item, polygon in zip(drawn, polygons, strict=True):
            points = np.asarray(item.GraphicData).reshape(-1, 2)
            assert item.GraphicAnnotationUnits == "PIXEL"
            assert np.allclose(points[:-1], polygon)
            assert np.array_equal(points[0], points[-1])

    def test_it_refers_to_its_source_alone_and_to_all_of_it(self) -> None:
        explained = explained_of_grey(rows=200, columns=300)
        made = written(PresentationState(), explained)
        (series,) = made.ReferencedSeriesSequence
        (image,) = series.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == explained.prediction.key_frame.sop_instance_uid
        (area,) = made.DisplayedAreaSelectionSequence
        assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
        assert list(area.DisplayedAreaBottomRightHandCorner) == [300, 200]
        assert [float(v) for v in area.PresentationPixelSpacing] == [0.9, 0.9]

    def test_the_image_is_displayed_as_its_source_says(self) -> None:
        made = written(PresentationState(), explained_of_grey())
        assert (made.RescaleIntercept, made.RescaleSlope, made.RescaleType) == (-1024, 1, "US")
        (window,) = made.SoftcopyVOILUTSequence
        assert (window.WindowCenter, window.WindowWidth) == (600, 1600)
        assert made.PresentationLUTShape == "IDENTITY"

    def test_white_and_black_are_as_in_the_source(self) -> None:
        inverse = explained_of_grey(PhotometricInterpretation="MONOCHROME1")
        assert written(PresentationState(), inverse).PresentationLUTShape == "INVERSE"

    def test_it_warns_in_words_on_a_layer_that_can_be_hidden(self) -> None:
        made = written(PresentationState(), explained_of_grey())
        (words,) = made.GraphicAnnotationSequence[1].TextObjectSequence
        lines = words.UnformattedTextValue.split("\r\n")
        assert lines[0] == NOT_FOR_DIAGNOSIS
        assert lines[1] == "Glioma, calibrated confidence 93 %"
        layers = {item.GraphicLayer for item in made.GraphicLayerSequence}
        assert layers == {item.GraphicLayer for item in made.GraphicAnnotationSequence}

    def test_what_is_made_twice_is_the_same_object(self) -> None:
        assert PresentationState().write(explained_of_grey()) == PresentationState().write(
            explained_of_grey()
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"PhotometricInterpretation": "RGB"},
            {"WindowCenter": None},
            {"WindowWidth": ["0"]},
            {"VOILUTSequence": [Dataset()]},
        ],
    )
    def test_where_the_display_is_not_stated_in_full_there_is_none(
        self, changes: dict[str, object]
    ) -> None:
        assert PresentationState().write(explained_of_grey(256, 256, **changes)) is None

    def test_eight_bits_need_no_window(self) -> None:
        explained = explained_of_grey(WindowCenter=None, WindowWidth=None, BitsStored=8)
        assert "SoftcopyVOILUTSequence" not in written(PresentationState(), explained)

    def test_a_normal_study_has_nothing_to_outline(self) -> None:
        assert PresentationState().write(an_explained(a_grey_header(), target=2)) is None


def test_both_are_made_only_where_a_destination_asks_for_them() -> None:
    on_request = {ResultKind.KEY_IMAGES, ResultKind.PRESENTATION_STATE, ResultKind.KEY_OBJECT}
    usual, asking = (
        Settings(destinations=(DestinationSettings(name="pacs", **given),))
        for given in ({}, {"kinds": ("sc", "pr", "key")})
    )
    assert not on_request & {
        w.kind for w in build.writers(ResultSettings(), build.asked_for(usual))
    }
    made = {w.kind for w in build.writers(ResultSettings(), build.asked_for(asking))}
    assert on_request & made == on_request - {ResultKind.KEY_OBJECT}


def test_the_classes_of_both_can_be_sent() -> None:
    from lightbox.deliver.cstore import CLASSES

    assert {codes.GRAYSCALE_PRESENTATION_STATE, codes.KEY_OBJECT_SELECTION} <= set(CLASSES)
