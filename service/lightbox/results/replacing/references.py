"""References from a result to what it replaces.

A report names its predecessor as the standard has it (Predecessor Documents). Images have no such
attribute: they name the replaced ones among those significantly related to them (Referenced
Image), and say in words what the relation is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pydicom.dataset import Dataset

from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.result import PICTURES, ResultKind
from lightbox.results import provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.source import Source

IMAGES = frozenset(
    {
        *PICTURES,
        ResultKind.SEGMENTATION,
        ResultKind.LESION,
        ResultKind.PARAMETRIC_MAP,
    }
)
"""What a picture replaces: a successor may have no region or map of its own that could say so."""


def replaced_objects(
    explained: Explained, source: Source, kinds: Collection[ResultKind]
) -> Iterator[tuple[str, Dataset]]:
    """Yield Series Instance UID and reference of each replaced object of these kinds."""
    replaced = explained.replaces
    if replaced is None:
        return
    for result in replaced.results:
        if result.kind not in kinds:
            continue
        item = Dataset()
        item.ReferencedSOPClassUID = result.sop_class_uid
        item.ReferencedSOPInstanceUID = result.sop_instance_uid
        series = str(derived_uid("series", result.sop_instance_uid))
        if result.kind in {ResultKind.SECONDARY_CAPTURE, ResultKind.SLICE}:
            job, apart = replaced.job, replaced.contradicted
            series = provenance.picture_series(job, job.method, source, apart=apart)
        yield series, item


def refer_to_replaced(
    dataset: Dataset, explained: Explained, source: Source, kinds: Collection[ResultKind]
) -> None:
    """Name the replaced images on an image (PS3.3 C.12.4), and list their series (C.12.2).

    The source's series stays first: viewers take the first one for what a region belongs to.
    """
    found = list(replaced_objects(explained, source, kinds))
    if not found:
        return
    dataset.ReferencedImageSequence = [item for _, item in found]
    for series, items in _by_series(found).items():
        below = Dataset()
        put_uid(below, "SeriesInstanceUID", series)
        below.ReferencedInstanceSequence = [Dataset(item) for item in items]
        dataset.ReferencedSeriesSequence.append(below)


def hierarchy(source: Source, references: Iterable[tuple[str, Dataset]]) -> Dataset:
    """Return the hierarchical reference (PS3.3 table C.17-3) to objects of the source's study."""
    found = Dataset()
    put_uid(found, "StudyInstanceUID", source.patient_study.StudyInstanceUID)
    found.ReferencedSeriesSequence = []
    for series, items in _by_series(references).items():
        below = Dataset()
        put_uid(below, "SeriesInstanceUID", series)
        below.ReferencedSOPSequence = items
        found.ReferencedSeriesSequence.append(below)
    return found


def _by_series(references: Iterable[tuple[str, Dataset]]) -> dict[str, list[Dataset]]:
    by_series: dict[str, list[Dataset]] = {}
    for series, item in references:
        by_series.setdefault(series, []).append(item)
    return by_series
