"""What the listener tells to whoever counts: numbers and AE titles, never a patient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """Something that happened on the port.

    Attributes
    ----------
    associations_active : int
        How many associations are established now.
    calling_ae, called_ae : str
        "" where the peer has not said yet.
    status : str
        For an instance its DIMSE status ("0x0000"). For an association "opened", "rejected",
        "released", "aborted" (by either side) or "lost" (the peer went away without a word).
    seconds : float
        For an instance from its command to its answer; for an ended association, its length.
    bytes : int
        Length of the instance's data set; 0 for associations.
    """

    associations_active: int
    calling_ae: str
    status: str
    seconds: float = 0.0
    bytes: int = 0
    called_ae: str = ""
