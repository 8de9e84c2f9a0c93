"""Instances, without the patient: what is needed to find, group and match them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Attributes = Mapping[str, str]
"""DICOM keyword → text (several values joined by a backslash). Never the patient's, but
for the age in completed years."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One stored SOP instance.

    Attributes
    ----------
    path : str
        Of the stored file, relative to the data directory; bytes as received, in a
        DICOM file (PS3.10).
    sha256 : str
        Of the data set's bytes as they came over the wire, hexadecimal.
    size_bytes : int
        Length of the stored file.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """How an instance came: the facts that decide its urgency.

    Attributes
    ----------
    received_at : float
        Seconds since 1970 when its last byte was read.
    association : str
        Identifier of the association that brought it.
    priority : int
        DIMSE Priority (0000,0700): 0 MEDIUM, 1 HIGH, 2 LOW (PS3.7 9.3.1.1).
    """

    received_at: float
    calling_ae: str
    called_ae: str
    peer: str
    association: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """An instance with the header attributes that matching and rules look at."""

    instance: Instance
    arrival: Arrival
    attributes: Attributes = field(default_factory=dict)
