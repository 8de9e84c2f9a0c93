"""Small sins of real headers, forgiven: what is copied into a result is valid or is left out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from pydicom import config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import IS, DSfloat, PersonName, validate_value

_TEXT = {
    "AE",
    "AS",
    "CS",
    "DA",
    "DS",
    "DT",
    "IS",
    "LO",
    "LT",
    "PN",
    "SH",
    "ST",
    "TM",
    "UC",
    "UI",
    "UT",
}
_CHARACTER_SET = re.compile(r"ISO[ _-]?(2022[ _-]?)?IR[ _-]?(\d+)", re.IGNORECASE)
_CODES = {
    "PatientSex": {"M", "F", "O"},
    "Laterality": {"L", "R"},
    "ImageLaterality": {"L", "R", "B", "U"},
    "BurnedInAnnotation": {"YES", "NO"},
    "RecognizableVisualFeatures": {"YES", "NO"},
    "LossyImageCompression": {"00", "01"},
    "PatientIdentityRemoved": {"YES", "NO"},
    "QualityControlSubject": {"YES", "NO"},
    "SmokingStatus": {"YES", "NO", "UNKNOWN"},
    "PatientSexNeutered": {"ALTERED", "UNALTERED"},
    "ResponsiblePersonRole": {
        "OWNER", "PARENT", "CHILD", "SPOUSE", "SIBLING", "RELATIVE", "GUARDIAN", "CUSTODIAN", "AGENT",
    },
}  # fmt: skip
"""Attributes with a closed set of values (defined terms and enumerated values of PS3.3)."""


def copy_clean(header: Dataset, keywords: Iterable[str]) -> Dataset:
    """Return a data set with those of ``keywords`` that the header states validly."""
    out = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in keywords:
            tag = tag_for_keyword(keyword)
            if tag is None or tag not in header:
                continue
            cleaned = _element(header, keyword)
            if cleaned is not None:
                out.add(cleaned)
    return out


def put_uid(dataset: Dataset, keyword: str, uid: str) -> None:
    """Set a UID as it was received: what refers to a stranger's object must repeat its faults."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    dataset.add(DataElement(tag, "UI", uid, validation_mode=config.IGNORE))


def _element(header: Dataset, keyword: str) -> DataElement | None:
    """Return a valid copy of one element, or None where it cannot be read or kept."""
    try:
        element = header[keyword]
        vr = dictionary_VR(element.tag)  # strangers' explicit VRs are not always right
        if vr == "SQ":
            return _sequence(element)
        if keyword == "SpecificCharacterSet":
            return DataElement(element.tag, vr, _character_sets(element.value))
        allowed = _CODES.get(keyword)
        if allowed is not None:
            return DataElement(element.tag, vr, _term(element.value, allowed))
        value = _value(vr, element.value)
        return DataElement(element.tag, vr, value)
    except Exception:  # noqa: BLE001  # any sin of a stranger's header costs this one attribute only
        return None


def _character_sets(value: object) -> list[str]:
    """Return the defined terms (PS3.3 C.12.1.1.2) that are meant: ISO-IR 100 is ISO_IR 100."""
    stated = value if isinstance(value, MultiValue | list) else [value]
    terms = []
    for text in (str(v or "").strip(" \0") for v in stated):
        found = _CHARACTER_SET.fullmatch(text)
        term = text
        if found:
            term = f"ISO 2022 IR {found[2]}" if found[1] else f"ISO_IR {found[2]}"
        terms.append(term if term in python_encoding else "")
    return terms if any(terms) else []


def _term(value: object, allowed: set[str]) -> str:
    """Return the defined term that is meant, "" if it is none of them."""
    term = str(value).strip(" \0").upper()
    return term if term in allowed else ""


def _sequence(element: DataElement) -> DataElement | None:
    """Return the sequence if every item is whole and valid, else None."""
    items = []
    for item in element.value:
        keywords = [e.keyword for e in item if e.keyword and not e.tag.is_private]
        cleaned = copy_clean(item, keywords)
        is_whole = len(cleaned) == len(keywords) > 0
        if not is_whole or (element.keyword.endswith("CodeSequence") and not _is_code(cleaned)):
            return None
        items.append(cleaned)
    return DataElement(element.tag, "SQ", Sequence(items)) if items else None


def _is_code(item: Dataset) -> bool:
    """Say whether a coded entry is complete (PS3.3 8.1)."""
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return bool(value and item.get("CodingSchemeDesignator") and item.get("CodeMeaning"))


def _value(vr: str, value: object) -> object:
    """Strip padding and check against the value representation (PS3.5 6.2).

    Raises
    ------
    ValueError
        If the value is not valid for its VR.
    """
    if isinstance(value, MultiValue | list):
        return [_value(vr, v) for v in value]
    if isinstance(value, PersonName):
        return _person(value)
    if isinstance(value, IS | DSfloat):
        return _number(vr, value)
    if vr in _TEXT and isinstance(value, str):
        value = value.strip(" \0").replace("\0", "")
    validate_value(vr, value, config.RAISE)
    return value


def _number(vr: str, value: IS | DSfloat) -> str:
    """Keep the digits of a number string as they were written.

    Raises
    ------
    ValueError
        If they are not valid.
    """
    text = str(getattr(value, "original_string", value)).strip(" \0")
    validate_value(vr, text, config.RAISE)
    return text


def _person(name: PersonName) -> PersonName:
    """Keep the bytes of a name; only padding goes, and more than three component groups."""
    original: object = name.original_string
    if isinstance(original, bytes):
        cleaned = original.replace(b"\0", b"").strip(b" ")
        return PersonName(cleaned, name.encodings) if cleaned else PersonName("")
    return PersonName(str(name).replace("\0", "").strip(), name.encodings)
