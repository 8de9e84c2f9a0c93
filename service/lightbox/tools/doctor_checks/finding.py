"""One answer of the doctor: what was looked at, whether it is well, and the mend."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.errors import LightboxError


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found.

    Attributes
    ----------
    name : str
        What was looked at: "destination pacs".
    ok : bool
        False: something is wrong, and the exit code says so.
    words : str
        What is so, in the words of the one who administers it.
    mend : str
        What to do. Beside ``ok`` it makes the finding a note: nothing is wrong, but look.
    """

    name: str
    ok: bool
    words: str
    mend: str = ""

    @property
    def verdict(self) -> str:
        """In one word: ok, note or WRONG."""
        if not self.ok:
            return "WRONG"
        return "note" if self.mend else "ok"


def well(name: str, words: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(name, ok=True, words=words)


def note(name: str, words: str, mend: str) -> Finding:
    """Return that something works and may still deserve a look."""
    return Finding(name, ok=True, words=words, mend=mend)


def wrong(name: str, words: str, mend: str) -> Finding:
    """Return that something does not work, or is weak."""
    return Finding(name, ok=False, words=words, mend=mend)


def failed(name: str, error: LightboxError) -> Finding:
    """Return what an error says: it has thing, reason and mend already."""
    return wrong(name, f"{error.thing}: {error.reason}", error.mend)
