"""The lesion that a viewer overlays: Segmentation (PS3.3 A.51), BINARY, a segment per lesion.

Its series, category, type and colours are others than those of the region where a model looked, so
that nobody takes the one for the other.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as SrCode
from pydicom.uid import UID

from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import JobPath
from lightbox.domain.lesion import Lesion
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.plane_image import plane_image
from lightbox.results.header.source import Source, key_source, read_header, read_source
from lightbox.results.header.text import ascii_text
from lightbox.results.lesion.colours import LESION_COLOURS
from lightbox.results.replacing.references import refer_to_replaced
from lightbox.results.segmentation import Segments, algorithm, segmented


class LesionSegmentation:
    """Makes the segmentation of all lesions; none where there are none, and none for an audit."""

    kind = ResultKind.LESION

    def write(self, explained: Explained) -> bytes | None:
        """Return the lesions as a DICOM file, or None where there are none.

        The fast path's object holds them; an audit explains, and outlines nothing anew.

        Raises
        ------
        ResultError
            If a mask does not fit its frame, or its frame is not among the sources.
        """
        if not explained.lesions or explained.job.path is JobPath.AUDIT:
            return None
        key = key_source(explained)
        sources = _sources(explained, key)
        name = provenance.name_of(explained, key, self.kind)
        content = Segments(
            images=_images(sources),
            pixels=_pixels(explained, sources),
            descriptions=_descriptions(explained, name.sop_instance_uid),
            label="AI_LESION",
        )
        dataset = segmented(explained, name, content)
        provenance.stamp(dataset, explained, key, self.kind)
        _refer(dataset, sources)
        refer_to_replaced(dataset, explained, key, {self.kind})
        dataset.pop("Laterality", None)
        if not key.plane.is_real:
            dataset.PatientOrientation = key.image.get("PatientOrientation")
        return provenance.to_file(dataset)


def _sources(explained: Explained, key: Source) -> list[Source]:
    """Return the source of each frame that holds a lesion, in the order of the job.

    Frames without a plane in space are laid one behind the other in a frame of reference of ours.
    """
    wanted = {p.ref for lesion in explained.lesions for p in lesion.planes}
    shapes = {p.mask.shape for lesion in explained.lesions for p in lesion.planes}
    found = []
    for instance, data in zip(explained.job.instances, explained.sources, strict=True):
        frames = sorted(r.frame for r in wanted if r.sop_instance_uid == instance.sop_instance_uid)
        header = read_header(data) if frames else None
        for frame in frames:
            assert header is not None
            found.append(read_source(header, instance, frame, explained.frame.pixel_spacing))
    if len(found) != len(wanted) or shapes != {source.shape for source in found}:
        raise ResultError("lesion", "has a mask that fits no source frame", "report this fault")
    references = {source.plane.frame_of_reference_uid for source in found}
    if all(source.plane.is_real for source in found) and len(references) == 1:
        return found
    return [_nominal(source, key, place) for place, source in enumerate(found)]


def _nominal(source: Source, key: Source, place: int) -> Source:
    plane = replace(
        key.plane,
        position=(0.0, 0.0, place * key.plane.thickness),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        frame_of_reference_uid=derived_uid("lesion planes", key.sop_instance_uid),
        is_real=False,
    )
    return replace(source, plane=plane)


def _images(sources: list[Source]) -> list[Dataset]:
    first = sources[0].plane
    images = []
    for number, source in enumerate(sources):
        plane = replace(source.plane, orientation=first.orientation, spacing=first.spacing)
        image = plane_image(plane, source.shape)
        image.SOPInstanceUID = _stand_in(number)
        images.append(image)
    return images


def _stand_in(number: int) -> UID:
    return UID(derived_uid("stand-in", str(number)))


def _pixels(explained: Explained, sources: list[Source]) -> np.ndarray:
    """Return the masks, shape (planes, rows, columns, segments), bool."""
    places = {(s.sop_instance_uid, s.frame): place for place, s in enumerate(sources)}
    pixels = np.zeros((len(sources), *sources[0].shape, len(explained.lesions)), dtype=np.bool_)
    for number, lesion in enumerate(explained.lesions):
        for plane in lesion.planes:
            place = places[plane.ref.sop_instance_uid, plane.ref.frame]
            pixels[place, :, :, number] = plane.mask
    return pixels


def _descriptions(explained: Explained, sop_instance_uid: str) -> list[hd.seg.SegmentDescription]:
    return [
        _segment(explained, lesion, number, derived_uid("tracking", sop_instance_uid, str(number)))
        for number, lesion in enumerate(explained.lesions, start=1)
    ]


def _segment(
    explained: Explained, lesion: Lesion, number: int, tracking_uid: str
) -> hd.seg.SegmentDescription:
    finding = explained.package.finding(lesion.target)
    code = finding.segment or finding.code
    (colour,) = islice(cycle(LESION_COLOURS), number - 1, number)
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=ascii_text(f"Lesion {number}: {finding.words}"),
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=SrCode(code.value, code.scheme, ascii_text(code.meaning)),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(explained),
        tracking_uid=tracking_uid,
        tracking_id=ascii_text(f"{finding.name} lesion {number}"),
        display_color=hd.color.CIELabColor.from_rgb(*colour),
    )
    description.SegmentDescription = ascii_text(
        f"Outlined by the model, probability {100 * lesion.probability:.0f} %. {NOT_FOR_DIAGNOSIS}",
        1024,
    )
    return description


def _refer(dataset: Dataset, sources: list[Source]) -> None:
    """Point each frame at its own source frame, and name every source instance once."""
    by_stand_in = {_stand_in(number): source for number, source in enumerate(sources)}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence") or []:
            stand_in = derivation.SourceImageSequence[0].ReferencedSOPInstanceUID
            reference = provenance.source_reference(by_stand_in[stand_in], same_pixels=True)
            derivation.SourceImageSequence = [reference]
    unique = {source.sop_instance_uid: source for source in sources}
    series = provenance.referenced_series(sources[0])
    series.ReferencedInstanceSequence = [
        provenance.referenced_series(s).ReferencedInstanceSequence[0] for s in unique.values()
    ]
    dataset.ReferencedSeriesSequence = [series]
    dataset.pop("SourceImageSequence", None)
    put_uid(dataset, "FrameOfReferenceUID", sources[0].plane.frame_of_reference_uid)
    dataset.PositionReferenceIndicator = None
