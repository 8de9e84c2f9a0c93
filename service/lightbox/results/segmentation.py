"""The region that a viewer overlays: Segmentation (PS3.3 A.51), BINARY, one frame.

Never FRACTIONAL or LABELMAP: viewers hang on the one, archives refuse the other. highdicom gets a
bare plane, not the source's header, so that no header can make it refuse; references and patient
are put on afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from lightbox.domain.attribution import Attribution
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.plane_image import plane_image
from lightbox.results.header.source import Source, key_source
from lightbox.results.header.text import ascii_text
from lightbox.results.mask import RULE, region_mask
from lightbox.results.replacing.references import refer_to_replaced
from lightbox.results.wording import is_negative, method_name

_FAST_COLOUR = (240, 228, 66)
_AUDIT_COLOUR = (230, 120, 0)


class Segmentation:
    """Makes the region of one key frame; none for a negative finding or an empty mask."""

    kind = ResultKind.SEGMENTATION

    def write(self, explained: Explained) -> bytes | None:
        """Return the region as a DICOM file, or None where there is none.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if is_negative(explained):
            return None
        mask = region_mask(explained.attribution)
        if not mask.any():
            return None
        source = key_source(explained)
        name = provenance.name_of(explained, source, self.kind)
        content = Segments(
            images=[plane_image(source.plane, mask.shape)],
            pixels=mask,
            descriptions=[_segment(explained, name.sop_instance_uid)],
            label="AI_REGION",
        )
        dataset = segmented(explained, name, content)
        provenance.stamp(dataset, explained, source, self.kind)
        _refer(dataset, source)
        refer_to_replaced(dataset, explained, source, {self.kind})
        dataset.pop("Laterality", None)
        if not source.plane.is_real:
            dataset.PatientOrientation = source.image.get("PatientOrientation")
        return provenance.to_file(dataset)


@dataclass(frozen=True, slots=True)
class Segments:
    """What a segmentation holds.

    Attributes
    ----------
    images : sequence of Dataset
        One bare image per plane, see ``plane_image``.
    pixels : array, shape (rows, columns) or (planes, rows, columns, segments), bool
    label : str
        Content Label.
    """

    images: Sequence[Dataset]
    pixels: npt.NDArray[np.bool_]
    descriptions: Sequence[hd.seg.SegmentDescription]
    label: str


def segmented(explained: Explained, name: provenance.Name, content: Segments) -> Dataset:
    """Return a BINARY segmentation under this name, without patient and true references."""
    segmentation = hd.seg.Segmentation(
        source_images=content.images,
        pixel_array=content.pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=content.descriptions,
        series_instance_uid=name.series_instance_uid,
        series_number=name.series_number,
        sop_instance_uid=name.sop_instance_uid,
        instance_number=name.instance_number,
        manufacturer=provenance.MANUFACTURER,
        manufacturer_model_name=explained.package.name,
        software_versions=explained.package.version,
        device_serial_number=explained.package.sha256[:16],
        content_description=NOT_FOR_DIAGNOSIS,
        content_label=content.label,
        content_creator_name=None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = derived_uid(
        "dimensions", name.sop_instance_uid
    )
    for item in segmentation.DimensionIndexSequence:
        item.DimensionOrganizationUID = derived_uid("dimensions", name.sop_instance_uid)
    return segmentation


def region_colour(attribution: Attribution) -> tuple[int, int, int]:
    """Return the colour, RGB, in which viewers are asked to show the region."""
    return _FAST_COLOUR if attribution.estimate.values is None else _AUDIT_COLOUR


def _segment(explained: Explained, sop_instance_uid: str) -> hd.seg.SegmentDescription:
    attribution = explained.attribution
    finding = explained.package.finding(attribution.target)
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=ascii_text(f"{method_name(attribution.method)}: {finding.words}"),
        segmented_property_category=codes.SPATIAL_CONCEPT,
        segmented_property_type=codes.visual_explanation(attribution.method),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(explained),
        tracking_uid=derived_uid("tracking", sop_instance_uid),
        tracking_id=ascii_text(f"{finding.name} {attribution.method}"),
        display_color=hd.color.CIELabColor.from_rgb(*region_colour(attribution)),
    )
    description.SegmentDescription = ascii_text(
        f"Where the model looked ({RULE}), not the outline of a lesion. {NOT_FOR_DIAGNOSIS}", 1024
    )
    return description


def algorithm(explained: Explained) -> hd.AlgorithmIdentificationSequence:
    """Return model, version and parameters as a coded identification."""
    return hd.AlgorithmIdentificationSequence(
        name=ascii_text(explained.package.name),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=ascii_text(explained.package.version),
        source=provenance.MANUFACTURER,
        parameters=provenance.algorithm_parameters(explained),
    )


def _refer(dataset: Dataset, source: Source) -> None:
    """Point at the source frame, with its own class and frame number."""
    for group in dataset.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence") or []:
            derivation.SourceImageSequence = [provenance.source_reference(source, same_pixels=True)]
    dataset.ReferencedSeriesSequence = [provenance.referenced_series(source)]
    dataset.pop("SourceImageSequence", None)
    dataset.pop("PositionReferenceIndicator", None)
    put_uid(dataset, "FrameOfReferenceUID", source.plane.frame_of_reference_uid)
    dataset.PositionReferenceIndicator = None
