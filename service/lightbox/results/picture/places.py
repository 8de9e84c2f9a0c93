"""Where regions lie: in the patient where the source says how it lies there, else in the picture."""

from __future__ import annotations

import numpy as np

from lightbox.domain.explained import Explained
from lightbox.domain.regions import Sides, patient_region_name, region_name
from lightbox.results.header.source import Source
from lightbox.results.wording import lower_first, precision

_AXES = (("L", "R"), ("P", "A"), ("H", "F"))
"""Letters of the positive and the negative direction of x, y and z (PS3.3 C.7.6.2.1.1)."""
_NEAR = 0.9
"""Least cosine with an axis of the patient (26 degrees) at which a side is called by its name."""


def sides_of(source: Source) -> Sides | None:
    """Return where rows and columns run to in the patient; None where unknown or oblique.

    Animals are named by other words than these: unknown, too.
    """
    if source.text("AnatomicalOrientationType") == "QUADRUPED":
        return None
    if source.plane.is_real:
        row, column = source.plane.orientation[:3], source.plane.orientation[3:]
        letters = [_side(row), _side(column)]
    else:
        stated = source.image.get("PatientOrientation") or ()
        letters = [str(side).strip() for side in stated]
    axes = [next((a for a in _AXES if letter in a), None) for letter in letters]
    if len(letters) != 2 or None in axes or axes[0] == axes[1]:
        return None
    return letters[0], letters[1]


def _side(direction: tuple[float, ...]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    if abs(direction[axis]) < _NEAR:
        return ""
    return _AXES[axis][0 if direction[axis] > 0 else 1]


def where(explained: Explained, player: int, sides: Sides | None) -> str:
    """Say where a region lies; in a picture, left and right are those of the picture."""
    grid = explained.package.explanation.grid
    values = explained.attribution.estimate.values
    if values is None or values.size != grid[0] * grid[1]:
        return f"region {player + 1}"
    in_picture = region_name(player, grid)
    in_patient = patient_region_name(player, grid, sides) if sides else ""
    if in_patient:
        return f"patient's {in_patient} region ({in_picture} in the picture)"
    return f"{in_picture} region of the picture"


def audit_sentence(explained: Explained, source: Source) -> str:
    """Say which region moved the finding most and by how much; "" for maps without players."""
    attribution = explained.attribution
    estimate = attribution.estimate
    if estimate.values is None or estimate.values.size == 0:
        return ""
    best = int(np.argmax(np.abs(estimate.values)))
    value = float(estimate.values[best])
    label = lower_first(explained.package.finding(attribution.target).words)
    scale = "probability" if attribution.link != "log_odds" else "log-odds"
    verb = "raised" if value >= 0 else "lowered"
    return (
        f"The {where(explained, best, sides_of(source))} {verb} the {scale} of {label} "
        f"by {abs(value):.2f} {precision(attribution, best)}"
    )


def contrast_sentence(explained: Explained, source: Source) -> str:
    """Say which region decided most against the runner-up; "" where nothing is known of it."""
    contrast = explained.attribution.contrast
    if contrast is None or not contrast.values.size:
        return ""
    best = int(np.argmax(np.abs(contrast.values)))
    value = float(contrast.values[best])
    rival = lower_first(explained.package.finding(contrast.rival).words)
    verb = "for" if value >= 0 else "against"
    own = lower_first(explained.package.finding(explained.attribution.target).words)
    place = where(explained, best, sides_of(source))
    return (
        f"Between {own} and {rival}, next in line, the {place} spoke most: "
        f"{abs(value):.2f} {verb} {own}"
    )
