"""How old a patient was when the study was made, out of what the header states. Pure."""

from __future__ import annotations

import re
from datetime import date

COMPLETED_YEARS = "CompletedYears"
"""Where a described image has its patient's age: nothing else of the patient is read."""

_STATED = re.compile(r"(\d{1,3})([DWMY])")
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)")
_DAYS_OF_A_YEAR = 365.2425


def completed_years(stated: str, born: str, studied: str) -> int | None:
    """Return the age in completed years; None where the header does not tell.

    Parameters
    ----------
    stated : str
        Patient's Age (0010,1010): a number with D, W, M or Y (PS3.5 6.2, AS). It goes before what
        the dates give, which are often made up where a patient's identity was removed.
    born, studied : str
        Patient's Birth Date (0010,0030) and Study Date (0008,0020), YYYYMMDD.
    """
    found = _STATED.fullmatch(stated.strip().upper())
    if found is None:
        return _between(_date(born), _date(studied))
    number = int(found[1])
    match found[2]:
        case "D":
            return int(number / _DAYS_OF_A_YEAR)
        case "W":
            return int(7 * number / _DAYS_OF_A_YEAR)
        case "M":
            return number // 12
        case _:
            return number


def _between(born: date | None, studied: date | None) -> int | None:
    if born is None or studied is None or studied < born:
        return None
    birthday_is_ahead = (studied.month, studied.day) < (born.month, born.day)
    return studied.year - born.year - birthday_is_ahead


def _date(text: str) -> date | None:
    found = _DATE.fullmatch(text.strip().replace(".", ""))  # YYYY.MM.DD: before DICOM 3.0
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
