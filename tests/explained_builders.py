"""Explanations for tests: synthetic ones, and ones of any real DICOM file.

The attribution is a smooth blob (``grad_cam``) or signed regions (``shapley``); its place is known,
so a test can look whether it lies in the result where it lay in the source.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian

from builders import NOON
from lightbox.domain.arrays import LabelMap, Picture
from lightbox.domain.attribution import Attribution, Estimate
from lightbox.domain.explained import Explained
from lightbox.domain.frame import Frame
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.key_slices import KeySlice
from lightbox.domain.lesion import Lesion, LesionPlane
from lightbox.domain.model_package import Accepts, Code, Finding, ModelPackage, Preprocessing
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.domain.study import Instance
from lightbox.domain.urgency import Urgency

DICOM = Path(__file__).parents[1] / "../shared/data/dicom"
"""Other people's DICOM files, beside the repository; absent elsewhere."""


def a_package(**changes: object) -> ModelPackage:
    """Return a package with three findings, the last one negative."""
    values: dict[str, object] = {
        "name": "brain_tumour_mri",
        "version": "1.0.0",
        "sha256": "ab" * 32,
        "intended_use": "research",
        "licence": "CC BY 4.0",
        "citation": "none",
        "accepts": Accepts(modality=("MR",), body_part=("BRAIN",)),
        "preprocessing": Preprocessing(size=(160, 160)),
        "findings": (
            Finding(
                name="glioma",
                label="Glioma",
                code=Code(scheme="SCT", value="393564001", meaning="Glioma"),
            ),
            Finding(
                name="meningioma",
                label="Meningioma",
                code=Code(scheme="SCT", value="443936004", meaning="Meningioma"),
            ),
            Finding(
                name="normal",
                label="No finding",
                code=Code(scheme="SCT", value="17621005", meaning="Normal"),
                negative=True,
            ),
        ),
        **changes,
    }
    return ModelPackage.model_validate(values)


def a_picture(rows: int = 256, columns: int = 256) -> Picture:
    """Return something like a head: a bright ellipse with texture and a spot."""
    y, x = np.mgrid[0:rows, 0:columns]
    v, u = (y + 0.5) / rows - 0.5, (x + 0.5) / columns - 0.5
    head = ((u / 0.38) ** 2 + (v / 0.44) ** 2) < 1
    texture = 90 + 25 * np.sin(24 * u) * np.cos(19 * v)
    spot = 110 * np.exp(-((u - 0.12) ** 2 + (v + 0.16) ** 2) / 0.004)
    picture: Picture = np.clip(head * (texture + spot), 0, 255).astype(np.uint8)
    return picture


def a_header(rows: int = 256, columns: int = 256, **changes: object) -> Dataset:
    """Return an MR header with geometry; ``Keyword=value`` replaces, ``Keyword=None`` removes."""
    header = Dataset()
    values: dict[str, object] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
        "SOPInstanceUID": derived_uid("test", "source"),
        "StudyInstanceUID": derived_uid("test", "study"),
        "SeriesInstanceUID": derived_uid("test", "series"),
        "StudyDate": "20260901",
        "StudyTime": "101112",
        "StudyID": "S1",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Refer^Ring",
        "StudyDescription": "MR head",
        "PatientName": "Nobody^Real",
        "PatientID": "P1",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "PatientAge": "056Y",
        "Modality": "MR",
        "SeriesNumber": 3,
        "InstanceNumber": 12,
        "BodyPartExamined": "BRAIN",
        "FrameOfReferenceUID": derived_uid("test", "frame of reference"),
        "ImagePositionPatient": [-120.0, -110.0, 30.0],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "PixelSpacing": [0.9, 0.9],
        "SliceThickness": 5.0,
        "Rows": rows,
        "Columns": columns,
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:  # invalid values too: strangers' headers have them
            tag, vr = tag_for_keyword(keyword), dictionary_VR(keyword)
            assert tag is not None
            header.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))
    return header


def as_file(header: Dataset) -> bytes:
    """Encode a header as a DICOM file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = header.SOPClassUID
        meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.file_meta = meta
        dcmwrite(buffer, header, enforce_file_format=True)
    return buffer.getvalue()


def a_cam(geometry: FrameGeometry, at: tuple[float, float] = (0.34, 0.62)) -> Attribution:
    """Return a Grad-CAM with one blob, its centre at this share of rows and columns."""
    y, x = np.mgrid[0:20, 0:20]
    far = (y + 0.5 - 20 * at[0]) ** 2 + (x + 0.5 - 20 * at[1]) ** 2
    cells = np.exp(-far / 8.0).astype(np.float32)
    return Attribution(
        method="grad_cam",
        target=0,
        source_map=geometry.attribution_to_source(cells),
        cell_pixels=geometry.cell_size((20, 20)),
        estimate=Estimate(cells=cells, evaluations=1),
        parameters={"target_layer": "layer3", "cells": "20x20"},
    )


SHAPLEY_VALUES = np.array(
    [0.01, 0.02, -0.01, 0.03, 0.31, 0.12, -0.06, 0.05, -0.02, 0.0, 0.01, -0.14]
)


def a_shapley(geometry: FrameGeometry, *, exact: bool = True) -> Attribution:
    """Return Shapley values over a grid of 4 x 3 regions; region 4 supports most."""
    height, width = geometry.model_shape
    rows, columns = np.mgrid[0:height, 0:width]
    labels: LabelMap = ((rows * 4 // height) * 3 + columns * 3 // width).astype(np.int16)
    players = geometry.labels_to_source(labels)
    errors = np.zeros(12) if exact else np.full(12, 0.02)
    source_map = np.append(SHAPLEY_VALUES, 0.0)[players].astype(np.float32)
    return Attribution(
        method="shapley",
        target=0,
        source_map=source_map,
        cell_pixels=geometry.cell_size((4, 3)),
        estimate=Estimate(
            values=SHAPLEY_VALUES,
            standard_errors=errors,
            evaluations=4096,
            total=4096,
            exact=exact,
        ),
        parameters={"regions": "grid 4x3", "baseline": "blur"},
        players=players,
        regions=labels,
        link="probability",
        v_empty=0.31,
        v_full=0.63,
        completeness_residual=2e-16,
        quality={"agreement": 0.82},
    )


def a_lesion(
    explained: Explained, at: tuple[float, float] = (0.34, 0.62), target: int = 0
) -> Lesion:
    """Return a lesion in the key frame: an ellipse, its centre at this share of rows and columns."""
    rows, columns = explained.attribution.source_map.shape
    y, x = np.mgrid[0:rows, 0:columns]
    inside = ((y / rows - at[0]) / 0.11) ** 2 + ((x / columns - at[1]) / 0.07) ** 2 < 1
    plane = LesionPlane(explained.prediction.key_frame, inside)
    return Lesion(target=target, probability=explained.prediction.confidence, planes=(plane,))


def an_explained(
    header: Dataset | None = None,
    *,
    picture: Picture | None = None,
    method: str = "grad_cam",
    package: ModelPackage | None = None,
    confidence: float = 0.93,
    target: int = 0,
    exact: bool = True,
) -> Explained:
    """Return an explanation of a synthetic header and picture."""
    header = header if header is not None else a_header()
    if picture is None:
        picture = a_picture(int(header.Rows), int(header.Columns))
    return _explained(
        [as_file(header)],
        [header],
        picture,
        key=0,
        frame=1,
        method=method,
        package=package or a_package(),
        confidence=confidence,
        target=target,
        exact=exact,
    )


def a_stack(
    count: int = 12,
    *,
    key: int = 6,
    further: Mapping[int, float] = MappingProxyType({3: 0.71, 8: 0.88, 10: 0.64}),
    shape: tuple[int, int] = (256, 256),
    package: ModelPackage | None = None,
    orientation: Sequence[float] | None = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    **changes: object,
) -> Explained:
    """Return an explanation of a stack with its key slices.

    Parameters
    ----------
    count, key : int
        How many slices there are, and which one is the key slice; the first is 1.
    further : mapping of int to float
        The other key slices, with their probabilities.
    orientation : sequence of float, or None
        Image Orientation (Patient); the slices lie 5 mm apart along the normal.
    **changes
        As of :func:`a_header`, for every slice.
    """
    normal = np.cross(orientation[:3], orientation[3:]) if orientation else np.zeros(3)
    headers = [
        a_header(
            shape[0],
            shape[1],
            SOPInstanceUID=derived_uid("test", "slice", str(number)),
            InstanceNumber=number,
            ImageOrientationPatient=orientation and list(orientation),
            ImagePositionPatient=(normal * (5.0 * number - 20.0)).tolist(),
            **changes,
        )
        for number in range(1, count + 1)
    ]

    def slice_of(number: int, confidence: float) -> Explained:
        share = (number - key) / count
        explained = _explained(
            [as_file(header) for header in headers],
            headers,
            (a_picture(*shape) * (1.0 - abs(share))).astype(np.uint8),
            key=number - 1,
            frame=1,
            method="grad_cam",
            package=package or a_package(),
            confidence=confidence,
            target=0,
            exact=True,
        )
        cam = a_cam(explained.frame.geometry, (0.34 + 0.3 * share, 0.62 - 0.2 * share))
        prediction = replace(explained.prediction, frames=count)
        return replace(explained, prediction=prediction, attribution=cam)

    others = [slice_of(number, confidence) for number, confidence in sorted(further.items())]
    slices = tuple(KeySlice(one.prediction, one.frame, one.attribution) for one in others)
    return replace(slice_of(key, 0.93), slices=slices)


def explained_of(
    paths: Sequence[Path],
    *,
    key: int = 0,
    method: str = "grad_cam",
    package: ModelPackage | None = None,
) -> Explained:
    """Return an explanation of real files; the key frame is the middle one of file ``key``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers = [pydicom.dcmread(path, force=True) for path in paths]
        frames = int(headers[key].get("NumberOfFrames") or 1)
        frame = (frames + 1) // 2
        picture = _displayed(headers[key], frame)
        sources = [_without_pixels(path) for path in paths]
    if package is None:
        package = a_package(accepts=Accepts(modality=(str(headers[key].Modality),)))
    return _explained(
        sources,
        headers,
        picture,
        key=key,
        frame=frame,
        method=method,
        package=package,
        confidence=0.93,
        target=0,
        exact=True,
    )


def _without_pixels(path: Path) -> bytes:
    header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    buffer = io.BytesIO()
    try:
        dcmwrite(buffer, header, enforce_file_format=True)
    except Exception:  # noqa: BLE001  # a header that pydicom cannot write again goes in whole
        return path.read_bytes()
    return buffer.getvalue()


def _displayed(header: Dataset, frame: int) -> Picture:
    pixels = header.pixel_array
    if int(header.get("NumberOfFrames") or 1) > 1:
        pixels = pixels[frame - 1]
    if pixels.ndim == 3:
        return np.ascontiguousarray(pixels[..., :3], dtype=np.uint8)
    try:
        shown = apply_voi_lut(apply_modality_lut(pixels, header), header).astype(np.float64)
    except Exception:  # noqa: BLE001  # no such transform: the stored values then
        shown = pixels.astype(np.float64)
    low, high = np.percentile(shown, (0.5, 99.5))
    unit = np.clip((shown - low) / max(high - low, 1e-9), 0, 1)
    if header.PhotometricInterpretation == "MONOCHROME1":
        unit = 1 - unit
    picture: Picture = (255 * unit).astype(np.uint8)
    return picture


def _explained(
    sources: Sequence[bytes],
    headers: Sequence[Dataset],
    picture: Picture,
    *,
    key: int,
    frame: int,
    method: str,
    package: ModelPackage,
    confidence: float,
    target: int,
    exact: bool,
) -> Explained:
    geometry = FrameGeometry.pad((picture.shape[0], picture.shape[1]), package.preprocessing.size)
    path = JobPath.FAST if method == "grad_cam" else JobPath.AUDIT
    fast = a_cam(geometry)
    attribution = fast if path is JobPath.FAST else a_shapley(geometry, exact=exact)
    attribution = replace(attribution, target=target)
    instances = tuple(
        Instance(
            sop_instance_uid=str(h.SOPInstanceUID),
            sop_class_uid=str(h.SOPClassUID),
            study_instance_uid=str(h.StudyInstanceUID),
            series_instance_uid=str(h.SeriesInstanceUID),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            path=f"instances/{i}.dcm",
            sha256=sha256(data).hexdigest(),
            size_bytes=len(data),
        )
        for i, (h, data) in enumerate(zip(headers, sources, strict=True))
    )
    job = Job(
        job_id=job_identity(path, instances, package.sha256, method),
        path=path,
        study_instance_uid=instances[key].study_instance_uid,
        series_instance_uid=instances[key].series_instance_uid,
        instances=instances,
        model=package.name,
        model_sha256=package.sha256,
        method=method,
        urgency=Urgency.STAT if path is JobPath.FAST else Urgency.AUDIT,
        rule="called AE LIGHTBOX_STAT" if path is JobPath.FAST else "modality MR is always audited",
        received_at=NOON,
        placed_at=NOON + 0.25,
        deadline=NOON + 2,
    )
    ref = FrameRef(instances[key].sop_instance_uid, frame)
    findings = package.findings
    rest = (1 - confidence) / (len(findings) - 1)
    scores = {f.name: confidence if i == target else rest for i, f in enumerate(findings)}
    prediction = Prediction(
        model=package.name,
        version=package.version,
        model_sha256=package.sha256,
        finding=findings[target].name,
        confidence=confidence,
        scores=scores,
        target=target,
        key_frame=ref,
    )
    size = package.preprocessing.size
    return Explained(
        job=job,
        package=package,
        prediction=prediction,
        attribution=attribution,
        frame=Frame(
            ref=ref,
            tensor=np.zeros((1, package.preprocessing.channels, *size), dtype=np.float32),
            picture=picture,
            geometry=geometry,
            pixel_spacing=_spacing(headers[key]),
        ),
        sources=tuple(sources),
        fast=fast if path is JobPath.AUDIT else None,
    )


def _spacing(header: Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = header.get(keyword)
        if found and len(found) == 2 and min(float(v) for v in found) > 0:
            return float(found[0]), float(found[1])
    return None
