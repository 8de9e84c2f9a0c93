"""Whether a Key Object Selection rejects images, and which.

Evidence (PS3.3 C.17.6.2.1) lists every object that the note refers to, by study and series.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread

from lightbox.domain.errors import UnreadableError
from lightbox.domain.identity import is_uid
from lightbox.domain.rejection import TITLES, RejectionNote

_LONGEST = 16 * 2**20
"""Bytes of a note: some hundred thousand references."""
_CODING_SCHEME = "DCM"


def read_rejection_note(path: Path) -> RejectionNote | None:
    """Read a Key Object Selection; None where its title rejects nothing.

    Raises
    ------
    UnreadableError
        If it is too long or cannot be read: nobody knows what it may have rejected.
    """
    if path.stat().st_size > _LONGEST:
        raise UnreadableError(path.name, f"a key object of more than {_LONGEST} bytes is not read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # small sins of real senders
            dataset = dcmread(path, stop_before_pixels=True)
            title = _title(dataset)
            if title not in TITLES:
                return None
            images: dict[str, list[str]] = {}
            for study, uid in _references(dataset):
                images.setdefault(study, []).append(uid)
    except Exception as error:  # pydicom raises whatever its field happens to meet
        reason = f"a key object that cannot be read ({type(error).__name__})"
        raise UnreadableError(path.name, reason, "ask the sender to export it again") from error
    return RejectionNote(title, {study: tuple(dict.fromkeys(of)) for study, of in images.items()})


def _title(dataset: Dataset) -> str:
    """Return the code value of the document's title, "" where it is none of DICOM's."""
    titles = dataset.get("ConceptNameCodeSequence") or ()
    if not titles or titles[0].get("CodingSchemeDesignator") != _CODING_SCHEME:
        return ""
    return str(titles[0].get("CodeValue") or "")


def _references(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or ():
        of_study = str(study.get("StudyInstanceUID") or "")
        for series in study.get("ReferencedSeriesSequence") or ():
            for item in series.get("ReferencedSOPSequence") or ():
                uid = str(item.get("ReferencedSOPInstanceUID") or "")
                if is_uid(of_study) and is_uid(uid):
                    yield of_study, uid
