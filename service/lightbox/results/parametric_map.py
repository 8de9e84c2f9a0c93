"""The numbers: Parametric Map (PS3.3 A.75), float, for images with a plane in space.

One viewer draws frame i on slice i of its volume whatever the position says, and its volume
ascends along row x column. So a map of a series holds every frame of the series (zero where
nothing was computed), in ascending order; any other order would lie on mirrored slices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from lightbox.domain.arrays import FloatMap
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import JobPath
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.plane_image import plane_image
from lightbox.results.header.source import Source, all_sources, key_source
from lightbox.results.header.text import SHORT, ascii_text
from lightbox.results.replacing.references import refer_to_replaced
from lightbox.results.wording import method_name

_MODALITIES = {"CT", "MR", "PT"}
_MOST_BYTES = 64 * 2**20
_SAME_MM = 1e-3


class ParametricMap:
    """Makes the map of one key frame within its series.

    Parameters
    ----------
    fast : bool
        Make it for the fast path too; else for audits only.
    """

    kind = ResultKind.PARAMETRIC_MAP

    def __init__(self, *, fast: bool = False) -> None:
        self._fast = fast

    def write(self, explained: Explained) -> bytes | None:
        """Return the map as a DICOM file, or None where it does not apply.

        It does not apply where no map is shown, to images without a plane in space, to series
        whose frames do not form one stack (several at one place, other sizes or directions), and
        beyond 64 MiB.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if explained.job.path is not JobPath.AUDIT and not self._fast:
            return None
        if explained.attribution.lies_nowhere:
            return None
        source = key_source(explained)
        if not source.plane.is_real or source.text("Modality") not in _MODALITIES:
            return None
        stack = _stack(explained, source)
        if stack is None:
            return None
        dataset = _build(explained, source, stack)
        provenance.stamp(dataset, explained, source, self.kind)
        dataset.Modality = source.text("Modality")  # what acquired the data (C.8.32.1)
        _refer(dataset, stack)
        refer_to_replaced(dataset, explained, source, {self.kind})
        dataset.PositionReferenceIndicator = None
        if dataset.get("BodyPartExamined") not in codes.UNPAIRED:
            dataset.Laterality = source.text("Laterality") or None
        return provenance.to_file(dataset)


@dataclass(frozen=True, slots=True)
class _Stack:
    """Every frame of the series, ascending along its normal.

    Attributes
    ----------
    pixels : array, shape (frames, rows, columns), float32
    """

    frames: tuple[Source, ...]
    pixels: FloatMap


def _stack(explained: Explained, key: Source) -> _Stack | None:
    """Return the stack, or None where the frames do not form one."""
    shape = explained.attribution.source_map.shape
    frames = sorted(all_sources(explained), key=lambda s: s.plane.distance)
    if len(frames) * shape[0] * shape[1] * 4 > _MOST_BYTES:
        return None
    distances = np.array([s.plane.distance for s in frames])
    one_stack = all(
        s.plane.is_real
        and s.shape == shape
        and s.plane.frame_of_reference_uid == key.plane.frame_of_reference_uid
        and np.allclose(s.plane.orientation, key.plane.orientation, atol=1e-4)
        and np.allclose(s.plane.spacing, key.plane.spacing, atol=1e-4)
        for s in frames
    )
    if not one_stack or (len(frames) > 1 and np.diff(distances).min() < _SAME_MM):
        return None
    pixels = np.zeros((len(frames), *shape), dtype=np.float32)
    at = next(
        i
        for i, s in enumerate(frames)
        if s.sop_instance_uid == key.sop_instance_uid and s.frame == key.frame
    )
    pixels[at] = np.nan_to_num(explained.attribution.source_map)
    return _Stack(tuple(frames), pixels)


def _build(explained: Explained, source: Source, stack: _Stack) -> Dataset:
    name = provenance.name_of(explained, source, ResultKind.PARAMETRIC_MAP)
    low, high = float(stack.pixels.min()), float(stack.pixels.max())
    images = []
    for number, frame in enumerate(stack.frames):
        plane = replace(
            frame.plane, orientation=source.plane.orientation, spacing=source.plane.spacing
        )  # equal but for the last digits, which highdicom would take for other directions
        image = plane_image(plane, stack.pixels.shape[1:])
        image.SOPInstanceUID = UID(derived_uid("stand-in", str(number)))  # each another
        images.append(image)
    built = hd.pm.ParametricMap(
        source_images=images,
        pixel_array=stack.pixels,
        series_instance_uid=name.series_instance_uid,
        series_number=name.series_number,
        sop_instance_uid=name.sop_instance_uid,
        instance_number=name.instance_number,
        manufacturer=provenance.MANUFACTURER,
        manufacturer_model_name=explained.package.name,
        software_versions=explained.package.version,
        device_serial_number=explained.package.sha256[:16],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(explained, low, high)],
        voi_lut_transformations=[_window(low, high)],
        content_description=NOT_FOR_DIAGNOSIS,
        content_label="AI_MAP",
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        derivation=codes.visual_explanation(explained.attribution.method),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    organisation = derived_uid("dimensions", name.sop_instance_uid)
    built.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for item in built.DimensionIndexSequence:
        item.DimensionOrganizationUID = organisation
    _ascend(built, stack)
    return built


def _window(low: float, high: float) -> hd.VOILUTTransformation:
    """Return the window that shows all values; a linear one may not be narrower than 1."""
    return hd.VOILUTTransformation(
        window_center=(low + high) / 2,
        window_width=max(high - low, 1e-6),
        voi_lut_function=hd.VOILUTFunctionValues.LINEAR_EXACT,
    )


def _mapping(explained: Explained, low: float, high: float) -> hd.pm.RealWorldValueMapping:
    method = explained.attribution.method
    return hd.pm.RealWorldValueMapping(
        lut_label=ascii_text(method_name(method), SHORT),
        lut_explanation=ascii_text(f"Attribution by {method_name(method)}"),
        unit=codes.NO_UNITS,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.visual_explanation(method),
    )


def _ascend(built: Dataset, stack: _Stack) -> None:
    """Put the frames, which highdicom orders its own way, in the order of the stack."""
    groups = list(built.PerFrameFunctionalGroupsSequence)
    if len(groups) == 1:
        return
    normal = np.asarray(stack.frames[0].plane.normal)
    positions = [
        np.asarray(g.PlanePositionSequence[0].ImagePositionPatient, dtype=float) for g in groups
    ]
    order = np.argsort([float(p @ normal) for p in positions])
    built.PerFrameFunctionalGroupsSequence = [groups[i] for i in order]
    built.FloatPixelData = np.ascontiguousarray(stack.pixels, dtype="<f4").tobytes()


def _refer(dataset: Dataset, stack: _Stack) -> None:
    """Point each frame at its own source frame, and name every source instance once."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    for group, source in zip(groups, stack.frames, strict=True):
        for derivation in group.get("DerivationImageSequence") or []:
            derivation.SourceImageSequence = [provenance.source_reference(source, same_pixels=True)]
    first = provenance.referenced_series(stack.frames[0])
    unique = {s.sop_instance_uid: s for s in stack.frames}
    first.ReferencedInstanceSequence = [
        provenance.referenced_series(s).ReferencedInstanceSequence[0] for s in unique.values()
    ]
    dataset.ReferencedSeriesSequence = [first]
    dataset.pop("SourceImageSequence", None)
    put_uid(dataset, "FrameOfReferenceUID", stack.frames[0].plane.frame_of_reference_uid)
