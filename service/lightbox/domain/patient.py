"""That images of one study name different patients: a merge, a correction, or a mix-up.

What a patient is called stays in the images. Here are keyed digests, made with a key that the
process draws at its start and forgets at its end, and the names of attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lightbox.domain.study import Instance

PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
"""Attributes by which patients are told apart."""


@dataclass(frozen=True, slots=True)
class PatientChanged:
    """app.patients: an image names its study's patient in another way than the one before it did.

    Results that are explained after this row carry what this image says.

    Attributes
    ----------
    number : int
        Counts the changes of this study, from 0.
    instance : Instance
        The image.
    before : str
        SOP Instance UID of the image that it differs from.
    attributes : tuple of str
        Keywords of what differs; never the values.
    """

    number: int
    instance: Instance
    before: str
    attributes: tuple[str, ...]
    kind: Literal["patient_changed"] = "patient_changed"

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return self.instance.study_instance_uid

    @property
    def key(self) -> str:
        """One per study and change."""
        return self.key_of(self.study, self.number)

    @classmethod
    def key_of(cls, study_instance_uid: str, number: int) -> str:
        """Return the key of a study's change of this number."""
        return f"patient_changed:{study_instance_uid}:{number}"


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keywords of what two images both state, and state differently.

    Parameters
    ----------
    one, other : mapping of str to str
        Keyword → digest; what an image leaves empty is absent and contradicts nothing.
    """
    return tuple(
        keyword
        for keyword in PATIENT
        if keyword in one and keyword in other and one[keyword] != other[keyword]
    )
