"""The note "not analysed: why", for sites that want one: a Secondary Capture without a finding.

A study without a result looks like one whose result is still to come. The note says that none will
come, and that nothing follows from it.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from lightbox.domain.errors import ResultError
from lightbox.domain.identity import derived_uid
from lightbox.domain.refusal import Refusal
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import Source, read_header, read_source
from lightbox.results.header.text import LONG_TEXT, SHORT_TEXT, ascii_text
from lightbox.results.picture.card import card
from lightbox.results.secondary_capture import carry_over, put_pixels
from lightbox.results.wording import moment, source_line

HEADLINE = "Not analysed"
_MEANING = "No result will come. Nothing can be concluded from that."
_SERIES_NUMBER = 9003
_SAID_OF_IT = frozenset({"is", "has", "was", "shows", "cannot", "does", "holds", "names", "needs"})


def note(refusal: Refusal) -> bytes:
    """Return the note as a DICOM file.

    Raises
    ------
    ResultError
        If the source's header is not that of the instance: nobody knows whose note it would be.
    """
    instance, header = refusal.job.instances[0], read_header(refusal.source)
    stated = (str(header.get("StudyInstanceUID")), str(header.get("SOPInstanceUID")))
    if stated != (instance.study_instance_uid, instance.sop_instance_uid):
        raise ResultError("note", "the header of its source cannot be read", "see the ledger")
    source = read_source(header, instance, 1)
    reason = _sentence(refusal.reason)
    dataset = Dataset()
    dataset.SOPClassUID = codes.SECONDARY_CAPTURE
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    made = provenance.Made(refusal.job, refusal.package, f"{HEADLINE}: {reason}")
    provenance.put(dataset, made, source, _name(refusal, source))
    dataset.DerivationDescription = ascii_text(f"{HEADLINE}: {reason}", SHORT_TEXT)
    dataset.SourceImageSequence = [provenance.source_reference(source, same_pixels=False)]
    dataset.ReferencedSeriesSequence = [provenance.referenced_series(source)]
    words = f"{NOT_FOR_DIAGNOSIS}. {HEADLINE}: {reason}. {_MEANING}"
    dataset.ImageComments = ascii_text(words, LONG_TEXT)
    carry_over(dataset, source)
    number = len(refusal.job.instances)
    rows = (
        ("Reason", reason),
        ("What helps", refusal.mend),
        ("Model", f"{refusal.package.name} {refusal.package.version}"),
        ("Source", source_line(source) + (f" and {number - 1} more" if number > 1 else "")),
        ("Made", moment(refusal.job.placed_at)),
    )
    put_pixels(dataset, card(HEADLINE, _MEANING, rows))
    return provenance.to_file(dataset)


def _sentence(reason: str) -> str:
    """Write a reason as a sentence; those of our errors are mostly said of the image."""
    if reason.partition(" ")[0] in _SAID_OF_IT:
        return f"The image {reason}"
    return reason[:1].upper() + reason[1:]


def _name(refusal: Refusal, source: Source) -> provenance.Name:
    number = source.text("InstanceNumber")
    series = derived_uid("series", "note", source.series_instance_uid, refusal.job.model_sha256)
    return provenance.Name(
        sop_instance_uid=derived_uid(
            "instance", "note", refusal.job.job_id, ResultKind.SECONDARY_CAPTURE
        ),
        series_instance_uid=series,
        series_number=_SERIES_NUMBER,
        instance_number=int(number) if number.isdigit() else 1,
        series_description="AI NOT ANALYSED note",
    )
