"""What a decoding child and its parent say to each other: JSON headers and raw bytes.

Never pickle: what comes from a child that decodes strangers' bytes is data, and is checked.
A message is a length (4 bytes, big endian), a JSON header of so many bytes, and as many raw bytes
as the header's ``tensor`` and ``picture`` shapes need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lightbox.domain.model_package import Preprocessing

LENGTH_BYTES = 4
LONGEST_HEADER = 64 * 1024


@dataclass(frozen=True, slots=True)
class FramesRequest:
    """Which frames of which file, and how the network wants them.

    Attributes
    ----------
    path : str
        Absolute path of a DICOM file.
    numbers : tuple of int
        Frame numbers, from 1; empty: all.
    """

    path: str
    sop_instance_uid: str
    preprocessing: Preprocessing
    numbers: tuple[int, ...] = ()


class Task(BaseModel):
    """A request on the wire (one line of JSON to the child)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    numbers: tuple[int, ...]
    preprocessing: Preprocessing


class Header(BaseModel):
    """What comes back: ready once, then frames up to the last one; or why not.

    ``differ`` names the combination that two decoders differ about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ready", "frame", "unreadable"]
    number: int = 0
    tensor: tuple[int, ...] = ()
    picture: tuple[int, ...] = ()
    spacing: tuple[float, float] | None = None
    last: bool = False
    reason: str = ""
    mend: str = ""
    differ: str = ""
