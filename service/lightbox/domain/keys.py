"""Keys of a TOML file: what to tell a person whose key or value is wrong.

Pydantic knows that something is wrong and where; this says it in one line: the key, what was
found, what was expected, and for an unknown key the nearest one that exists.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lightbox.domain.errors import ConfigurationError

Location = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""

_SHOULD = re.compile(r"^\w+ should ")
_LONGEST = 60  # characters of a wrong value that are repeated


@dataclass(frozen=True, slots=True)
class Complaint:
    """The first thing that is wrong.

    Attributes
    ----------
    location : tuple of str or int
        Where, as far as the file has it.
    key : str
        The same in words, such as ``destinations[0].port``.
    """

    location: Location
    key: str
    reason: str
    mend: str


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the advice for a misspelt name: the nearest right one, or all of them."""
    known = sorted(names)
    close = difflib.get_close_matches(name.lower(), [each.lower() for each in known], 1, 0.6)
    if close:
        right = next(each for each in known if each.lower() == close[0])
        return f"did you mean {right}?"
    return f"known here: {', '.join(known)}"


def spelled(location: Location) -> str:
    """Write a location as people do: ``destinations[0].port``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """Return the model of the table at ``location``, or None where there is no table."""
    at: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int):
            continue
        if at is None:
            return None
        field = at.model_fields.get(part)
        if field is not None:
            at = _model_in(field.annotation)
        elif at.model_config.get("extra") == "allow":
            at = _model_in(get_type_hints(at).get("__pydantic_extra__"))
        else:
            return None
    return at


def overlay(
    model: type[BaseModel], tree: dict[str, object], variables: Mapping[str, str], prefix: str
) -> dict[Location, str]:
    """Put variables such as ``LIGHTBOX__DICOM__PORT`` over what a file says.

    Parameters
    ----------
    model : type of BaseModel
        Model of the whole file.
    tree : dict
        What the file says; changed in place.
    variables : mapping of str to str
        The environment; names without ``prefix`` are not looked at.
    prefix : str
        Such as ``LIGHTBOX__``.

    Returns
    -------
    dict of Location to str
        Which variable set which key.

    Raises
    ------
    ConfigurationError
        If a variable names no key.
    """
    sources: dict[Location, str] = {}
    for variable in sorted(name for name in variables if name.startswith(prefix)):
        location = _named(model, variable, prefix)
        at = tree
        for part in location[:-1]:
            below = at.get(part)
            at[part] = at = below if isinstance(below, dict) else {}
        at[location[-1]] = _literal(model, location, variables[variable])
        sources[location] = variable
    return sources


def leaves(tree: Mapping[str, object], above: Location = ()) -> Iterator[Location]:
    """Yield the location of every value that is not a table."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key)


def complaint(
    error: ValidationError, model: type[BaseModel], tree: Mapping[str, object]
) -> Complaint:
    """Put the first error that pydantic found in ``tree`` into words."""
    details = error.errors(include_url=False)
    first = details[0]
    location = _present(first["loc"], tree)
    kind = first["type"]
    if kind == "extra_forbidden":
        at = model_at(model, location[:-1])
        names = at.model_fields if at else ()
        return Complaint(
            location, spelled(location), "is not a known key", nearest(str(location[-1]), names)
        )
    if kind == "missing":
        location = first["loc"]
        mend = _instead(details, model, location) or "add it"
        return Complaint(location, spelled(location), "is missing", mend)
    same_place = [each for each in details if _present(each["loc"], tree) == location]
    expected = " or ".join(dict.fromkeys(_expected(each) for each in same_place))
    expected = expected.replace(" or expected ", " or ")
    if not expected.startswith("expected "):  # a sentence of a validator, about a whole table
        return Complaint(location, spelled(location), expected, "")
    mend = ""
    at = model_at(model, location[:-1])
    if kind == "model_type" and at and str(location[-1]) not in at.model_fields:
        mend = nearest(str(location[-1]), at.model_fields)  # a key taken for a table's name
    return Complaint(location, spelled(location), f"found {_found(first)}, {expected}", mend)


def _instead(details: Sequence[ErrorDetails], model: type[BaseModel], missing: Location) -> str:
    """Ask whether an unknown key beside a missing one was meant; "" where none looks like it."""
    at = model_at(model, missing[:-1])
    names = at.model_fields if at else ()
    for each in details:
        key = each["loc"]
        beside = each["type"] == "extra_forbidden" and key[:-1] == missing[:-1]
        if beside and nearest(str(key[-1]), names) == f"did you mean {missing[-1]}?":
            return f"is it {spelled(key)}? rename it"
    return ""


def _named(model: type[BaseModel], variable: str, prefix: str) -> tuple[str, ...]:
    location: tuple[str, ...] = ()
    for part in variable.removeprefix(prefix).split("__"):
        at = model_at(model, location)
        names = {name.lower(): name for name in at.model_fields} if at else {}
        if at and part.lower() not in names and at.model_config.get("extra") != "allow":
            key, advice = spelled((*location, part.lower())), nearest(part, at.model_fields)
            raise ConfigurationError(f"{variable}: {key}", "is not a known key", advice)
        location = (*location, names.get(part.lower(), part.lower()))
    return location


def _literal(model: type[BaseModel], location: Location, text: str) -> object:
    """Read the text of a variable: JSON, else TOML, else text; where text is wanted, text."""
    at = model_at(model, location[:-1])
    field = at.model_fields.get(str(location[-1])) if at else None
    if field is not None and field.annotation is str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if found := _model_in(part):
            return found
    return None


def _present(location: Location, tree: object) -> Location:
    """Cut what pydantic appends for members of a union: it is not in the file."""
    present: list[str | int] = []
    for part in location:
        rows = isinstance(tree, list | tuple) and isinstance(part, int) and part < len(tree)
        if not (rows or (isinstance(tree, Mapping) and part in tree)):
            break
        tree = tree[part]  # type: ignore[index]  # either of the two, as just seen
        present.append(part)
    return tuple(present)


_WORDS = {
    "model_type": "expected a table",
    "dict_type": "expected a table",
    "tuple_type": 'expected a list, such as ["A", "B"] or [1, 2]',
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text in quotes",
}


_PATTERNS = {
    r"^[a-z][a-z0-9_]{1,31}$": "expected 2 to 32 of a-z, 0-9 and _, the first one a letter",
    r"^[0-9a-f]{64}$": "expected 64 hexadecimal digits in lower case",
    r"^([0-9a-f]{64})?$": "expected 64 hexadecimal digits in lower case, or nothing",
}


def _expected(details: ErrorDetails) -> str:
    if details["type"] in _WORDS:
        return _WORDS[details["type"]]
    if details["type"] == "string_pattern_mismatch":
        pattern = details["ctx"]["pattern"]
        return _PATTERNS.get(pattern, f"expected to match {pattern!r}")
    sentence = details["msg"].removeprefix("Value error, ")
    sentence = sentence.replace("Input should be ", "expected ", 1)
    return _SHOULD.sub("expected to ", sentence, count=1)  # such as "String should match …"


def _found(details: ErrorDetails) -> str:
    text = repr(details["input"])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
