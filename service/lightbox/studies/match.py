"""Which models accept an instance, and why the others do not. Pure.

A result on the wrong kind of image is worse than none: where the header says that the image is
something else, or that text is burned into it, no model gets it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydicom import uid

from lightbox.domain.age import COMPLETED_YEARS
from lightbox.domain.model_package import Accepts, ModelPackage
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Attributes, Described

_ACQUIRED = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
        uid.CTImageStorage,
        uid.EnhancedCTImageStorage,
        uid.LegacyConvertedEnhancedCTImageStorage,
        uid.UltrasoundImageStorage,
        uid.UltrasoundMultiFrameImageStorage,
        uid.MRImageStorage,
        uid.EnhancedMRImageStorage,
        uid.EnhancedMRColorImageStorage,
        uid.LegacyConvertedEnhancedMRImageStorage,
        uid.XRayAngiographicImageStorage,
        uid.EnhancedXAImageStorage,
        uid.XRayRadiofluoroscopicImageStorage,
        uid.EnhancedXRFImageStorage,
        uid.XRay3DAngiographicImageStorage,
        uid.XRay3DCraniofacialImageStorage,
        uid.BreastTomosynthesisImageStorage,
        uid.BreastProjectionXRayImageStorageForPresentation,
        uid.BreastProjectionXRayImageStorageForProcessing,
        uid.NuclearMedicineImageStorage,
        uid.PositronEmissionTomographyImageStorage,
        uid.EnhancedPETImageStorage,
        uid.LegacyConvertedEnhancedPETImageStorage,
        uid.VLEndoscopicImageStorage,
        uid.VLMicroscopicImageStorage,
        uid.VLPhotographicImageStorage,
        uid.DermoscopicPhotographyImageStorage,
        uid.OphthalmicPhotography8BitImageStorage,
        uid.OphthalmicPhotography16BitImageStorage,
        uid.OphthalmicTomographyImageStorage,
    }
)
"""Storage SOP classes of acquired images (PS3.4 B.5); a Secondary Capture must be asked for."""

_DESCRIPTIONS = ("StudyDescription", "SeriesDescription", "ProtocolName")
_NO = frozenset({"", "0", "NO", "N", "FALSE"})

UNSTATED_BODY_PART = "body part not stated by the source"
UNSTATED_AGE = "the patient's age is not stated by the source"


@dataclass(frozen=True, slots=True)
class Match:
    """What one model says to one instance.

    Attributes
    ----------
    refused : ListedReason or None
        None when the model accepts the instance; NO_MODEL where it is made for other images,
        NOT_APPLICABLE where it is the right kind but must not be run.
    reason : str
        Why it is refused, one line; "" where it is accepted.
    caveat : str
        What the picture must say about the match, or "".
    """

    package: ModelPackage
    refused: ListedReason | None = None
    reason: str = ""
    caveat: str = ""


def match(packages: Sequence[ModelPackage], described: Described) -> tuple[Match, ...]:
    """Ask every model, in the order given, whether it accepts this instance."""
    return tuple(_ask(package, described) for package in packages)


def _ask(package: ModelPackage, described: Described) -> Match:
    accepts, attributes = package.accepts, described.attributes
    kind = _wrong_kind(accepts, described)
    if kind:
        return Match(package, ListedReason.NO_MODEL, kind)
    for check in _CHECKS:
        reason = check(accepts, attributes)
        if reason:
            return Match(package, ListedReason.NOT_APPLICABLE, reason)
    return Match(package, caveat="; ".join(_caveats(accepts, attributes)))


def _caveats(accepts: Accepts, attributes: Attributes) -> Iterator[str]:
    if accepts.body_part and not _body_part(attributes):
        yield UNSTATED_BODY_PART
    if accepts.age_years and _number(attributes, COMPLETED_YEARS) is None:
        yield UNSTATED_AGE
    expected = accepts.description_expects
    texts = [attributes.get(keyword, "") for keyword in _DESCRIPTIONS]
    if expected and not any(_has_word(text, word) for text in texts for word in expected):
        yield f"no description says {_either(expected[:1])}, which is all that the model knows"


def _wrong_kind(accepts: Accepts, described: Described) -> str:
    modality = described.attributes.get("Modality", "").strip().upper()
    sop_class = described.instance.sop_class_uid
    if modality not in accepts.modality:
        return (
            f"Modality is {modality or 'not stated'}, the model is for {_either(accepts.modality)}"
        )
    if accepts.sop_class_uid:
        if sop_class not in accepts.sop_class_uid:
            return f"SOP class {uid.UID(sop_class).name} is not one of the model's"
    elif sop_class not in _ACQUIRED:
        return f"SOP class {uid.UID(sop_class).name} does not hold acquired images"
    return ""


def _no_pixels(_: Accepts, attributes: Attributes) -> str:
    # A describer that does not say leaves the question to the decoder.
    said = attributes.get("HasPixelData")
    return "it has no pixel data" if said is not None and said.strip().upper() in _NO else ""


def _burned_in(_: Accepts, attributes: Attributes) -> str:
    burned = attributes.get("BurnedInAnnotation", "").strip().upper() == "YES"
    return "Burned In Annotation (0028,0301) is YES" if burned else ""


def _localiser(_: Accepts, attributes: Attributes) -> str:
    # PS3.3 C.8.2.1.1.1 and C.8.3.1.1.1: value 3 of Image Type.
    values = [value.strip().upper() for value in attributes.get("ImageType", "").split("\\")]
    return "Image Type says LOCALIZER" if "LOCALIZER" in values else ""


def _other_image_type(accepts: Accepts, attributes: Attributes) -> str:
    values = {value.strip().upper() for value in attributes.get("ImageType", "").split("\\")}
    found = sorted(values & {value.upper() for value in accepts.image_type_refuses})
    return f"Image Type says {found[0]}" if found else ""


def _other_body_part(accepts: Accepts, attributes: Attributes) -> str:
    stated = _body_part(attributes)
    wanted = {part.strip().upper() for part in accepts.body_part}
    if not wanted or stated in wanted:
        return ""
    if stated:
        return f"Body Part Examined is {stated}, the model is for {_either(accepts.body_part)}"
    missing = accepts.body_part_missing == "refuse"
    return "Body Part Examined is not stated and the model needs it" if missing else ""


def _other_age(accepts: Accepts, attributes: Attributes) -> str:
    if not accepts.age_years:
        return ""
    age, (youngest, oldest) = _number(attributes, COMPLETED_YEARS), accepts.age_years
    if age is None:
        missing = accepts.age_missing == "refuse"
        return "the patient's age is not stated and the model needs it" if missing else ""
    if youngest <= age <= oldest:
        return ""
    # By how much, and so the age, stays in the image: the ledger keeps this line.
    side = "younger" if age < youngest else "older"
    return f"the patient is {side} than the model is for, {youngest} to {oldest} years"


def _refused_description(accepts: Accepts, attributes: Attributes) -> str:
    for keyword in _DESCRIPTIONS:
        text = attributes.get(keyword, "")
        for word in accepts.description_refuses:
            if _has_word(text, word):
                return f"{keyword} contains {word.strip()!r}"
    return ""


def _has_word(text: str, word: str) -> bool:
    """Say whether a word stands in a text, in any case.

    It ends where letters and digits end: "knee" is in "KNEE_L", "hip" is not in "hippocampus".
    """
    whole = rf"(?<![^\W_]){re.escape(word.strip())}(?![^\W_])"
    return bool(word.strip()) and re.search(whole, text, re.IGNORECASE) is not None


def _too_small(accepts: Accepts, attributes: Attributes) -> str:
    for keyword in ("Rows", "Columns"):
        number = _number(attributes, keyword)
        if number is not None and number < accepts.min_rows:
            return f"{keyword} is {number}, the model needs {accepts.min_rows}"
    return ""


def _other_samples(accepts: Accepts, attributes: Attributes) -> str:
    number = _number(attributes, "SamplesPerPixel")
    if number is None or number in accepts.samples_per_pixel:
        return ""
    wanted = _either(tuple(str(n) for n in accepts.samples_per_pixel))
    return f"Samples per Pixel is {number}, the model takes {wanted}"


_CHECKS: tuple[Callable[[Accepts, Attributes], str], ...] = (
    _no_pixels,
    _burned_in,
    _localiser,
    _other_image_type,
    _other_body_part,
    _other_age,
    _refused_description,
    _too_small,
    _other_samples,
)


def _body_part(attributes: Attributes) -> str:
    return attributes.get("BodyPartExamined", "").strip().upper()


def _number(attributes: Attributes, keyword: str) -> int | None:
    text = attributes.get(keyword, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _either(values: tuple[str, ...]) -> str:
    return " or ".join(values)
