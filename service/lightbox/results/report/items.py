"""Parts that all measurement groups share: tracking, finding, model, probability (PS3.16 TID 1501)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from lightbox.domain.explained import Explained
from lightbox.domain.model_package import Finding
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results import codes, provenance
from lightbox.results.header.text import ascii_text
from lightbox.results.report import tree
from lightbox.results.wording import demonstration_remark


@dataclass(frozen=True, slots=True)
class Said:
    """What a group says of a finding.

    Attributes
    ----------
    tracking : tuple of str
        Identifier for people, and UID.
    category : Code or None
        Of the finding (TID 1501, row 3a).
    numbers, evaluations : sequence of Dataset
        Measurements and coded answers.
    where : Dataset
        An outline (TID 1410) or an image (TID 1501).
    """

    tracking: tuple[str, str]
    finding: Finding
    method: Code
    numbers: Iterable[Dataset]
    evaluations: Iterable[Dataset]
    where: Dataset
    category: Code | None = None


def group(explained: Explained, said: Said) -> Dataset:
    """Return a measurement group, planar (TID 1410) where it has an outline."""
    words, uid = said.tracking
    category = (
        [tree.code("CONTAINS", codes.FINDING_CATEGORY, said.category)] if said.category else []
    )
    children = [
        tree.text("HAS OBS CONTEXT", codes.TRACKING_IDENTIFIER, ascii_text(words)),
        tree.uid("HAS OBS CONTEXT", codes.TRACKING_UID, uid),
        *category,
        tree.code("CONTAINS", codes.FINDING, coded(said.finding)),
        tree.code("HAS CONCEPT MOD", codes.MEASUREMENT_METHOD, said.method),
        *_algorithm(explained),
        *said.numbers,
        *said.evaluations,
        said.where,
    ]
    template = "1410" if said.where.ValueType == "SCOORD" else "1501"
    return tree.container("CONTAINS", codes.MEASUREMENT_GROUP, children, template)


def coded(finding: Finding) -> Code:
    """Return a finding as a coded concept."""
    found = finding.code
    return Code(found.value, found.scheme, ascii_text(found.meaning))


def probability(share: float) -> Dataset:
    """Return a calibrated probability, 0 to 1, in per cent."""
    return tree.number(codes.PROBABILITY, round(100 * share, 2), codes.PERCENT)


def _algorithm(explained: Explained) -> list[Dataset]:
    """Return model, version and parameters (TID 4019)."""
    package = explained.package
    parameters = provenance.algorithm_parameters(explained)
    said = [
        (codes.ALGORITHM_NAME, ascii_text(package.name)),
        (codes.ALGORITHM_VERSION, ascii_text(package.version)),
        (codes.ALGORITHM_PARAMETERS, NOT_FOR_DIAGNOSIS),
        (codes.ALGORITHM_PARAMETERS, ascii_text(demonstration_remark(explained))),
        *((codes.ALGORITHM_PARAMETERS, f"{key}={value}") for key, value in parameters.items()),
        *((codes.ALGORITHM_PARAMETERS, words) for words in _quality(explained)),
    ]
    return [tree.text("HAS CONCEPT MOD", name, words) for name, words in said if words]


def _quality(explained: Explained) -> list[str]:
    """Return the measured quality of the explanation, name by name."""
    measured = explained.attribution.quality.items()
    return [ascii_text(f"quality_{name}={value:.4g}") for name, value in sorted(measured)]
