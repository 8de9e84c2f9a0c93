"""Which algorithm made it: Algorithm Identification (PS3.3 10.16)."""

from __future__ import annotations

import highdicom as hd

from lightbox.domain.explained import Explained
from lightbox.results import codes, provenance
from lightbox.results.text import ascii_text


def algorithm_identification(explained: Explained) -> hd.AlgorithmIdentificationSequence:
    """Return model, version and parameters as a coded identification."""
    return hd.AlgorithmIdentificationSequence(
        name=ascii_text(explained.package.name),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=ascii_text(explained.package.version),
        source=provenance.MANUFACTURER,
        parameters=provenance.algorithm_parameters(explained),
    )
