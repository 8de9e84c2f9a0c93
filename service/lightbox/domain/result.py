"""Result objects and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOT_FOR_DIAGNOSIS = "AI RESULT - NOT FOR PRIMARY DIAGNOSIS"
"""Stands on every picture and in every object."""


class ResultKind(StrEnum):
    """What we make; the value is the label in metrics and files."""

    SECONDARY_CAPTURE = "sc"
    SEGMENTATION = "seg"
    STRUCTURED_REPORT = "sr"
    PARAMETRIC_MAP = "pm"
    KEY_OBJECT = "ko"
    """Rejects what is replaced."""
    KEY_IMAGES = "key"
    """Points at the key image and our picture of it."""
    PRESENTATION_STATE = "pr"
    """Outline and words over the source image."""
    LESION = "lesion"
    """What a segmentation network outlined; ``seg`` is where a network looked."""
    MOSAIC = "mosaic"
    """The key slices of a series in one picture."""
    SLICE = "slice"
    """A picture like ``sc`` of a further key slice; one per slice."""


OF_SERIES = frozenset({ResultKind.MOSAIC, ResultKind.SLICE})
"""What needs more of a series than its key slice."""

PICTURES = OF_SERIES | {ResultKind.SECONDARY_CAPTURE}
"""What a person looks at: Secondary Capture."""


@dataclass(frozen=True, slots=True)
class Result:
    """A DICOM object that we made.

    Attributes
    ----------
    path : str
        Of the file, relative to the data directory.
    sha256 : str
        Of the file.
    preview : str
        PNG which 0.1 wrote beside each picture, relative to the data directory; since then "".
    """

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    sha256: str
    size_bytes: int
    preview: str = ""

    @property
    def shown_in(self) -> str:
        """Return the file that its picture is in; "": there is nothing to look at."""
        return self.preview or (self.path if self.kind in PICTURES else "")


class Disposition(StrEnum):
    """What became of an accepted instance; exactly one at any time."""

    DELIVERED = "delivered"
    LISTED = "listed"
    IN_PROGRESS = "in_progress"


class ListedReason(StrEnum):
    """Closed set of reasons why an accepted instance has no delivered result."""

    NO_MODEL = "no_model"
    NOT_APPLICABLE = "not_applicable"
    UNREADABLE = "unreadable"
    OWN_RESULT = "own_result"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    FAILED = "failed"
    WITHHELD = "withheld"
    DEAD_LETTER = "dead_letter"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    TORN = "torn_not_acknowledged"


CHOSEN = frozenset({ListedReason.CANCELLED, ListedReason.REJECTED})
"""Ends that a person chose: only a person undoes them."""
