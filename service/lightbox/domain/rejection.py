"""Rejection notes of others: which images must not be used any more, and why.

A Key Object Selection whose title is one of CID 7011 rejects what it refers to (PS3.16; IHE RAD
TF-1 33, Imaging Object Change Management). It holds for the SOP Instance UID, whatever bytes come
under it later. Only where the images were kept too long for the sender's policy may they be sent
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
"""SOP Class UID of Key Object Selection Document Storage (PS3.4 B.5)."""

RETENTION_EXPIRED = "113039"

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "113001": "Rejected for Quality Reasons",
        "113037": "Rejected for Patient Safety Reasons",
        "113038": "Incorrect Modality Worklist Entry",
        RETENTION_EXPIRED: "Data Retention Policy Expired",
    }
)
"""Code value (DCM) → meaning: CID 7011."""


@dataclass(frozen=True, slots=True)
class RejectionNote:
    """What a rejection note says.

    Attributes
    ----------
    title : str
        Code value, a key of :data:`TITLES`.
    images : mapping of str to tuple of str
        Study Instance UID → SOP Instance UIDs that are rejected.
    """

    title: str
    images: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ImagesRejected:
    """app.rejections: a rejection note names images of this study.

    Attributes
    ----------
    sop_instance_uids : tuple of str
        The rejected images; those that are not here yet are listed when they come.
    note, note_sha256 : str
        SOP Instance UID and SHA-256 of the note.
    title : str
        Code value of its title.
    by : str
        AE title that sent it.
    at : float
        When it was received, seconds since 1970.
    """

    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    note: str
    note_sha256: str
    title: str
    by: str
    at: float
    kind: Literal["images_rejected"] = "images_rejected"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.study_instance_uid

    @property
    def key(self) -> str:
        """One per note, content and study."""
        return f"{self.kind}:{self.note}:{self.note_sha256}:{self.study_instance_uid}"

    @property
    def words(self) -> str:
        """Say why such an image is not used, for people."""
        return f"{TITLES.get(self.title, self.title)}: by a rejection note from {self.by}"

    def holds_for(self, received_at: float) -> bool:
        """Say whether an image that came then is rejected."""
        return self.title != RETENTION_EXPIRED or received_at <= self.at
