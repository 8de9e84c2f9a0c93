"""The configuration as it is in force: each key with its meaning and where its value comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from lightbox.console.sources import Setting
from lightbox.domain.quantities import READS_SIZE, READS_TIME, as_size, as_time
from lightbox.settings import Loaded

_SECRET = re.compile(r"token|password|secret|tls\.key|database\.url")


def configured(loaded: Loaded) -> tuple[Setting, ...]:
    """Return every key and where it came from; secrets are left out."""
    return tuple(
        Setting(key, value, _source(key, loaded.sources), meaning)
        for key, value, meaning in _keys("", loaded.settings)
        if not _SECRET.search(key)
    )


def _source(key: str, sources: Mapping[str, str]) -> str:
    """Return who set a key; a table of an array is set by whoever wrote the array."""
    whole = re.split(r"[.\[]", key, maxsplit=1)[0]
    return sources.get(key) or sources.get(whole, "default")


def _keys(prefix: str, section: BaseModel) -> Iterator[tuple[str, str, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        meaning = (field.description or "").replace("``", "")
        if isinstance(value, int | float) and READS_TIME in field.metadata:
            yield f"{prefix}{name}", as_time(value), meaning
        elif isinstance(value, int) and READS_SIZE in field.metadata:
            yield f"{prefix}{name}", as_size(value), meaning
        else:
            yield from _key(f"{prefix}{name}", value, meaning)
    for name, value in (section.model_extra or {}).items():
        yield from _key(f"{prefix}{name}", value, "")


def _key(key: str, value: object, meaning: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, BaseModel):
        yield from _keys(f"{key}.", value)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        for number, each in enumerate(value):
            assert isinstance(each, BaseModel)
            yield from _keys(f"{key}[{number}].", each)
    else:
        yield key, _text(value), meaning


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "(none)"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} = {_text(each)}" for name, each in value.items()) or "(none)"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in ("", None) else "(empty)"
