"""Each writer keeps the contract of its port, and its own promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from contracts.result_writer import ResultWriterContract, text_of, written
from explained_builders import a_header, an_explained
from lightbox.domain.errors import ResultError
from lightbox.domain.prediction import FrameRef
from lightbox.ports import ResultWriter
from lightbox.results.mask import region_mask
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
CR_IMAGE = "1.2.840.10008.5.1.4.1.1.1"
NO_PLANE: dict[str, object] = {
    "FrameOfReferenceUID": None,
    "ImagePositionPatient": None,
    "ImageOrientationPatient": None,
}


class TestSecondaryCapture(ResultWriterContract):
    @pytest.fixture
    def writer(self) -> ResultWriter:
        return SecondaryCapture()

    def test_it_is_one_frame_in_colour_that_nobody_can_measure_on(self) -> None:
        made = written(SecondaryCapture(), an_explained())
        assert (made.SamplesPerPixel, made.PhotometricInterpretation) == (3, "RGB")
        assert "NumberOfFrames" not in made
        assert "PixelSpacing" not in made
        assert len(made.PixelData) >= made.Rows * made.Columns * 3

    def test_it_is_derived_by_a_coded_method_from_a_source_elsewhere(self) -> None:
        made = written(SecondaryCapture(), an_explained())
        assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
        assert made.DerivationCodeSequence[0].CodeValue == "130403"
        assert made.SourceImageSequence[0].SpatialLocationsPreserved == "NO"

    def test_pixels_that_may_identify_are_declared_so(self) -> None:
        ours = written(SecondaryCapture(), an_explained())
        theirs = written(SecondaryCapture(), an_explained(a_header(BurnedInAnnotation="YES")))
        assert (ours.BurnedInAnnotation, theirs.BurnedInAnnotation) == ("NO", "YES")

    def test_a_source_that_was_ever_lossy_stays_so(self) -> None:
        header = a_header(
            LossyImageCompression="01",
            LossyImageCompressionRatio="12.5",
            LossyImageCompressionMethod="ISO_10918_1",
        )
        made = written(SecondaryCapture(), an_explained(header))
        assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12.5)

    def test_pictures_of_one_series_share_a_series_in_the_order_of_their_sources(self) -> None:
        one = written(SecondaryCapture(), an_explained(a_header()))
        two = written(
            SecondaryCapture(),
            an_explained(a_header(SOPInstanceUID="1.2.3.4", InstanceNumber=13)),
        )
        assert one.SeriesInstanceUID == two.SeriesInstanceUID
        assert (one.InstanceNumber, two.InstanceNumber) == (12, 13)

    def test_a_frame_of_a_multi_frame_source_is_named(self) -> None:
        explained = an_explained(a_header(SOPClassUID=ENHANCED_MR, NumberOfFrames=5))
        ref = FrameRef(explained.prediction.key_frame.sop_instance_uid, 3)
        explained = replace(explained, prediction=replace(explained.prediction, key_frame=ref))
        made = written(SecondaryCapture(), explained)
        assert made.SourceImageSequence[0].ReferencedFrameNumber == 3

    def test_it_says_so_where_another_finding_than_the_winning_one_is_explained(self) -> None:
        explained = an_explained(confidence=0.9)
        other = replace(explained.attribution, target=1)
        made = written(SecondaryCapture(), replace(explained, attribution=other))
        assert "another finding than the winning one: Meningioma (5 %)" in made.ImageComments

    def test_an_image_that_is_not_of_the_job_gets_no_result(self) -> None:
        explained = an_explained()
        prediction = replace(explained.prediction, key_frame=FrameRef("1.2.3.4"))
        with pytest.raises(ResultError, match=r"1\.2\.3\.4"):
            SecondaryCapture().write(replace(explained, prediction=prediction))


class TestSegmentation(ResultWriterContract):
    @pytest.fixture
    def writer(self) -> ResultWriter:
        return Segmentation()

    @pytest.mark.parametrize("method", ["grad_cam", "shapley"])
    def test_it_holds_the_mask_on_the_plane_of_its_source(self, method: str) -> None:
        header = a_header(200, 320)
        explained = an_explained(header, method=method)
        made = written(Segmentation(), explained)
        assert made.SegmentationType == "BINARY"
        assert np.array_equal(made.pixel_array.astype(bool), region_mask(explained.attribution))
        assert made.FrameOfReferenceUID == header.FrameOfReferenceUID
        frame = made.PerFrameFunctionalGroupsSequence[0]
        assert frame.PlanePositionSequence[0].ImagePositionPatient == [-120, -110, 30]

    def test_an_image_without_a_plane_gets_a_nominal_one(self) -> None:
        header = a_header(
            256, 256, SOPClassUID=CR_IMAGE, Modality="CR", PixelSpacing=None, **NO_PLANE
        )
        made = written(Segmentation(), an_explained(header))
        shared = made.SharedFunctionalGroupsSequence[0]
        assert shared.PixelMeasuresSequence[0].PixelSpacing == [1, 1]
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        source = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
        assert source.SourceImageSequence[0].SpatialLocationsPreserved == "YES"

    def test_it_says_that_the_model_looked_there_not_that_a_lesion_is_there(self) -> None:
        segment = written(Segmentation(), an_explained()).SegmentSequence[0]
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "309825002"
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130403"
        assert segment.SegmentLabel == "Grad-CAM: Glioma"

    def test_fast_and_audit_differ_in_colour(self) -> None:
        fast = written(Segmentation(), an_explained()).SegmentSequence[0]
        audit = written(Segmentation(), an_explained(method="shapley")).SegmentSequence[0]
        assert fast.RecommendedDisplayCIELabValue != audit.RecommendedDisplayCIELabValue
        assert audit.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130404"

    def test_a_normal_study_has_no_region(self) -> None:
        assert Segmentation().write(an_explained(target=2)) is None

    def test_where_nothing_supports_the_finding_there_is_no_region(self) -> None:
        explained = an_explained()
        flat = replace(explained.attribution, source_map=np.zeros((256, 256), dtype=np.float32))
        assert Segmentation().write(replace(explained, attribution=flat)) is None


class TestStructuredReport(ResultWriterContract):
    @pytest.fixture
    def writer(self) -> ResultWriter:
        return StructuredReport()

    def test_a_finding_has_an_outline_a_probability_and_its_presence(self) -> None:
        made = written(StructuredReport(), an_explained())
        group = _groups(made)[0]
        names = {item.ConceptNameCodeSequence[0].CodeValue: item for item in group.ContentSequence}
        assert names["111030"].GraphicType == "POLYLINE"
        assert names["122157"].MeasuredValueSequence[0].NumericValue == 93
        assert names["393564001"].ConceptCodeSequence[0].CodeValue == "52101004"

    def test_the_outline_encloses_the_mask(self) -> None:
        explained = an_explained()
        group = _groups(written(StructuredReport(), explained))[0]
        outline = next(i for i in group.ContentSequence if i.ValueType == "SCOORD").GraphicData
        columns, rows = outline[0::2], outline[1::2]
        inside = np.argwhere(region_mask(explained.attribution))
        assert min(rows) == pytest.approx(inside[:, 0].min(), abs=1)
        assert max(rows) == pytest.approx(inside[:, 0].max() + 1, abs=1)
        assert min(columns) == pytest.approx(inside[:, 1].min(), abs=1)
        assert max(columns) == pytest.approx(inside[:, 1].max() + 1, abs=1)

    def test_under_the_threshold_the_finding_is_undetermined(self) -> None:
        made = written(StructuredReport(), an_explained(confidence=0.4))
        assert "373068000" in text_of(made)
        assert "52101004" not in text_of(made)

    def test_a_sites_own_threshold_decides_and_stands_among_the_parameters(self) -> None:
        explained = an_explained(confidence=0.7)
        own = replace(explained.prediction, thresholds={"glioma": 0.75})
        text = text_of(written(StructuredReport(), replace(explained, prediction=own)))
        assert "373068000" in text
        assert "52101004" not in text
        assert "site_threshold_glioma=0.75" in text

    def test_the_measured_quality_of_the_map_stands_among_the_parameters(self) -> None:
        explained = an_explained(method="shapley")
        quality = {"deletion": -0.30123, "agreement": 0.82}
        measured = replace(explained.attribution, quality=quality)
        text = text_of(written(StructuredReport(), replace(explained, attribution=measured)))
        assert "quality_deletion=-0.3012" in text
        assert "quality_agreement=0.82" in text
        assert "evaluations=" in text

    def test_another_threshold_is_another_object(self) -> None:
        explained = an_explained(confidence=0.7)
        own = replace(explained.prediction, thresholds={"glioma": 0.75})
        ours = written(StructuredReport(), replace(explained, prediction=own))
        assert ours.SOPInstanceUID != written(StructuredReport(), explained).SOPInstanceUID

    def test_a_normal_study_states_what_is_absent(self) -> None:
        made = written(StructuredReport(), an_explained(target=2))
        group = _groups(made)[0]
        absent = {
            i.ConceptNameCodeSequence[0].CodeValue
            for i in group.ContentSequence
            if i.ValueType == "CODE" and i.ConceptCodeSequence[0].CodeValue == "2667000"
        }
        assert absent == {"393564001", "443936004"}

    def test_it_speaks_of_the_finding_that_is_explained(self) -> None:
        explained = an_explained(confidence=0.9)
        other = replace(explained.attribution, target=1)
        made = written(StructuredReport(), replace(explained, attribution=other))
        names = {
            i.ConceptNameCodeSequence[0].CodeValue: i for i in _groups(made)[0].ContentSequence
        }
        assert names["122157"].MeasuredValueSequence[0].NumericValue == pytest.approx(5)
        assert names["443936004"].ConceptCodeSequence[0].CodeValue == "373068000"

    def test_no_person_has_looked_at_it(self) -> None:
        made = written(StructuredReport(), an_explained())
        assert (made.VerificationFlag, made.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")

    def test_the_class_is_the_choice_of_the_site(self) -> None:
        made = written(StructuredReport("comprehensive3d"), an_explained())
        assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"


class TestParametricMap(ResultWriterContract):
    @pytest.fixture
    def writer(self) -> ResultWriter:
        return ParametricMap()

    def test_it_holds_the_numbers(self) -> None:
        explained = an_explained(method="shapley")
        made = written(ParametricMap(), explained)
        values = np.frombuffer(made.FloatPixelData, dtype="<f4").reshape(256, 256)
        assert np.array_equal(values, explained.attribution.source_map)

    def test_its_modality_is_that_of_its_source(self) -> None:
        assert written(ParametricMap(), an_explained(method="shapley")).Modality == "MR"

    def test_the_fast_path_gets_one_only_where_it_is_asked_for(self) -> None:
        assert ParametricMap().write(an_explained()) is None
        assert ParametricMap(fast=True).write(an_explained()) is not None

    def test_an_image_without_a_plane_gets_none(self) -> None:
        header = a_header(256, 256, SOPClassUID=CR_IMAGE, Modality="CR", **NO_PLANE)
        assert ParametricMap().write(an_explained(header, method="shapley")) is None


def _groups(report: Dataset) -> list[Dataset]:
    containers = [
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "126010"
    ]
    return list(containers[0].ContentSequence)
