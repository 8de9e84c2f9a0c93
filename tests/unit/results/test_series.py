"""A map of a series lies on the slices that it belongs to."""

from __future__ import annotations

import random
from dataclasses import replace
from hashlib import sha256

import numpy as np

from contracts.result_writer import written
from explained_builders import a_header, an_explained, as_file
from lightbox.domain.explained import Explained
from lightbox.domain.prediction import FrameRef
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.segmentation import Segmentation

OBLIQUE = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
"""Sagittal: rows run to the back, columns to the feet; row x column is the patient's right."""


def a_series(count: int, key: int, *, same_place: bool = False) -> Explained:
    """Return an explanation of a sagittal series in random order; number ``key`` is the key."""
    headers = [
        a_header(
            64,
            48,
            SOPInstanceUID=f"1.2.3.{number}",
            InstanceNumber=number,
            ImageOrientationPatient=OBLIQUE,
            ImagePositionPatient=[0.0 if same_place else 3.0 * number, -100.0, 80.0],
        )
        for number in range(1, count + 1)
    ]
    random.Random(7).shuffle(headers)
    files = [as_file(header) for header in headers]
    one = an_explained(headers[0], method="shapley")
    instances = tuple(
        replace(
            one.job.instances[0],
            sop_instance_uid=header.SOPInstanceUID,
            sha256=sha256(data).hexdigest(),
        )
        for header, data in zip(headers, files, strict=True)
    )
    ref = FrameRef(f"1.2.3.{key}")
    return replace(
        one,
        job=replace(one.job, instances=instances),
        prediction=replace(one.prediction, key_frame=ref, frames=count),
        sources=tuple(files),
    )


def test_every_frame_of_the_series_is_there_in_ascending_order() -> None:
    made = written(ParametricMap(), a_series(6, key=2))
    groups = made.PerFrameFunctionalGroupsSequence
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    distances = [
        float(np.dot(normal, g.PlanePositionSequence[0].ImagePositionPatient)) for g in groups
    ]
    assert len(distances) == 6
    assert distances == sorted(distances)


def test_the_map_lies_on_the_key_slice_and_names_it() -> None:
    explained = a_series(6, key=2)
    made = written(ParametricMap(), explained)
    frames = np.frombuffer(made.FloatPixelData, dtype="<f4").reshape(6, 64, 48)
    filled = [i for i in range(6) if frames[i].any()]
    group = made.PerFrameFunctionalGroupsSequence[filled[0]]
    assert len(filled) == 1
    assert group.PlanePositionSequence[0].ImagePositionPatient[0] == 6.0
    source = group.DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == "1.2.3.2"
    assert np.array_equal(frames[filled[0]], explained.attribution.source_map)


def test_each_frame_names_its_own_source() -> None:
    made = written(ParametricMap(), a_series(6, key=2))
    for group in made.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        number = int(source.ReferencedSOPInstanceUID.split(".")[-1])
        assert group.PlanePositionSequence[0].ImagePositionPatient[0] == 3.0 * number


def test_frames_at_one_place_get_no_map_rather_than_a_doubtful_one() -> None:
    assert ParametricMap().write(a_series(3, key=2, same_place=True)) is None


def test_the_region_lies_on_the_key_slice_alone() -> None:
    made = written(Segmentation(), a_series(6, key=5))
    assert made.NumberOfFrames == 1
    position = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    assert position.ImagePositionPatient[0] == 15.0
