"""Text that any archive can hold: plain ASCII, cut to the length of its value representation."""

from __future__ import annotations

import unicodedata

SHORT = 16
"""SH and CS (PS3.5 6.2)."""
LONG = 64
"""LO."""
SHORT_TEXT = 1024
"""ST."""
LONG_TEXT = 10240
"""LT."""

_SIGNS = str.maketrans(
    {
        "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00d7": "x", "\u00b1": "+/-",
        "\u00e6": "ae", "\u00c6": "AE", "\u00f8": "o", "\u00d8": "O", "\u00df": "ss",
        "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u00b7": ",", "\u00b5": "u",
    }
)  # fmt: skip


def ascii_text(text: str, limit: int = LONG) -> str:
    r"""Fold to printable ASCII without backslash and cut to ``limit`` characters.

    Our own words are ASCII so that the source's Specific Character Set stays what it is and a
    patient's name keeps its very bytes: archives compare them.
    """
    folded = unicodedata.normalize("NFKD", text.translate(_SIGNS))
    plain = "".join(
        c if " " <= c <= "~" else "" if unicodedata.combining(c) else "?" for c in folded
    )
    return plain.replace("\\", "/").strip()[:limit].strip()
