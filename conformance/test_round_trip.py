"""Promise: what a system reads out of our objects is what was computed, pixel by pixel.

Read back with another library (highdicom's reader, pydicom) and by position in space, not by the
order of frames.
"""

from __future__ import annotations

import io
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from explained_builders import DICOM, an_explained, explained_of
from lightbox.domain.explained import Explained
from lightbox.results.mask import region_mask
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation

SINGLE = ("CT_small.dcm", "MR_small.dcm")
SERIES = ("CT/series_dcmqi", "CT/d2n_gantry_tilt", "CT/d2n_uneven_spacing", "MR/adc_series_dcmqi")
ENHANCED = ("MR/enhanced/BRTUM008.dcm", "CT/enhanced/CT0012.explicit_little_endian.dcm")
PROJECTION = ("CR/RG3_J2KR.dcm", "DX/dx_image.dcm", "XA/jpeg_baseline_8bit.dcm")


def explanation(name: str, method: str) -> Explained:
    path = Path(get_testdata_file(name) or "") if name in SINGLE else DICOM / name
    if not path.exists():
        pytest.skip(f"{name}: the collection of DICOM files is not beside this repository")
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    return explained_of(paths, key=len(paths) // 2, method=method)


def key_header(explained: Explained) -> Dataset:
    uid = explained.prediction.key_frame.sop_instance_uid
    at = [i.sop_instance_uid for i in explained.job.instances].index(uid)
    return pydicom.dcmread(io.BytesIO(explained.sources[at]), force=True)


@pytest.mark.parametrize("method", ["grad_cam", "shapley"])
@pytest.mark.parametrize("name", SINGLE + SERIES + ENHANCED + PROJECTION)
def test_the_mask_of_the_segmentation_is_the_region_in_source_pixels(
    name: str, method: str
) -> None:
    explained = explanation(name, method)
    data = Segmentation().write(explained)
    assert data is not None
    read = hd.seg.segread(io.BytesIO(data))
    ref = explained.prediction.key_frame
    header = key_header(explained)
    assert np.array_equal(read.pixel_array.astype(bool), region_mask(explained.attribution))
    assert (read.Rows, read.Columns) == (header.Rows, header.Columns)
    source = read.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    reference = source.SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == ref.sop_instance_uid
    assert reference.get("ReferencedFrameNumber", 1) == ref.frame


@pytest.mark.parametrize("name", SINGLE + SERIES)
def test_the_plane_of_the_segmentation_is_that_of_its_source(name: str) -> None:
    explained = explanation(name, "grad_cam")
    data = Segmentation().write(explained)
    assert data is not None
    read, header = pydicom.dcmread(io.BytesIO(data)), key_header(explained)
    frame, shared = read.PerFrameFunctionalGroupsSequence[0], read.SharedFunctionalGroupsSequence[0]
    position = frame.PlanePositionSequence[0].ImagePositionPatient
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert np.allclose(position, header.ImagePositionPatient, atol=1e-4)
    assert np.allclose(orientation, header.ImageOrientationPatient, atol=1e-6)
    assert read.FrameOfReferenceUID == header.get("FrameOfReferenceUID", read.FrameOfReferenceUID)


@pytest.mark.parametrize("name", SINGLE + SERIES + ENHANCED)
def test_the_values_of_the_map_lie_where_their_slice_lies(name: str) -> None:
    explained = explanation(name, "shapley")
    data = ParametricMap().write(explained)
    if data is None:
        pytest.skip("these frames do not form one stack: no map is made")
    read = hd.imread(io.BytesIO(data))
    frames = np.frombuffer(read.FloatPixelData, dtype="<f4").reshape(-1, read.Rows, read.Columns)
    ref = explained.prediction.key_frame
    hits = 0
    for group, values in zip(read.PerFrameFunctionalGroupsSequence, frames, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        uid, number = source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber", 1)
        if (uid, number) == (ref.sop_instance_uid, ref.frame):
            hits += 1
            assert np.array_equal(values, explained.attribution.source_map)
        else:
            assert not values.any()
    assert hits == 1


@pytest.mark.parametrize("name", SERIES)
def test_a_reader_that_sorts_by_position_sees_the_same_map(name: str) -> None:
    explained = explanation(name, "shapley")
    data = ParametricMap().write(explained)
    if data is None:
        pytest.skip("these frames do not form one stack: no map is made")
    read = hd.imread(io.BytesIO(data))
    header = key_header(explained)
    filled = [
        group.PlanePositionSequence[0].ImagePositionPatient
        for group, values in zip(
            read.PerFrameFunctionalGroupsSequence,
            np.frombuffer(read.FloatPixelData, dtype="<f4").reshape(-1, read.Rows, read.Columns),
            strict=True,
        )
        if values.any()
    ]
    assert len(filled) == 1
    assert np.allclose(filled[0], header.ImagePositionPatient, atol=1e-4)


def test_the_picture_says_in_its_header_what_it_says_on_its_face() -> None:
    data = SecondaryCapture().write(an_explained(method="shapley", confidence=0.63))
    assert data is not None
    comments = pydicom.dcmread(io.BytesIO(data)).ImageComments
    for words in (
        "AI RESULT - NOT FOR PRIMARY DIAGNOSIS",
        "Glioma, calibrated confidence 63 %",
        "Low confidence",
        "Shapley of brain_tumour_mri 1.0.0, target: Glioma",
        "Series 3, instance 12",
        "residual 2e-16",
    ):
        assert words in comments
