"""An attribution as bytes and back, to the last bit: NPZ with one JSON text beside the arrays."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lightbox.domain.attribution import Attribution, Contrast, Estimate, PairValues

_KINDS: Mapping[str, Callable[..., object]] = {
    kind.__name__: kind for kind in (Attribution, Contrast, Estimate, PairValues)
}
_TEXT = "text"

Arrays = dict[str, NDArray[Any]]


def attribution_bytes(attribution: Attribution, origin: str) -> bytes:
    """Return an attribution and the name of the job that computed it, as a file."""
    arrays: Arrays = {}
    said = {"origin": origin, "attribution": _apart(attribution, "attribution", arrays)}
    file = io.BytesIO()
    text = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
    np.savez(file, allow_pickle=False, **{_TEXT: text}, **arrays)
    return file.getvalue()


def attribution_from(data: bytes) -> tuple[Attribution, str]:
    """Read what :func:`attribution_bytes` wrote.

    Raises
    ------
    ValueError
        If it is something else, or damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        said = json.loads(arrays[_TEXT].tobytes())
        attribution, origin = _together(said["attribution"], arrays), said["origin"]
    except Exception as error:  # whatever a damaged archive makes of itself
        raise ValueError(f"no attribution: {type(error).__name__}") from error
    if not isinstance(attribution, Attribution) or not isinstance(origin, str):
        raise ValueError("no attribution")  # noqa: TRY004  # a file's content, not an argument
    return attribution, origin


def _apart(value: object, at: str, arrays: Arrays) -> object:
    """Return a value as JSON has it; arrays go to ``arrays`` under their place."""
    if isinstance(value, np.ndarray):
        arrays[at] = value
        return {"array": at}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {
            f.name: _apart(getattr(value, f.name), f"{at}.{f.name}", arrays) for f in fields(value)
        }
        return {"kind": type(value).__name__, "fields": parts}
    if isinstance(value, Mapping):
        return {"table": {key: _apart(of, f"{at}.{key}", arrays) for key, of in value.items()}}
    if isinstance(value, tuple):
        return [_apart(of, f"{at}.{place}", arrays) for place, of in enumerate(value)]
    if isinstance(value, np.generic):
        return cast("object", value.item())
    return value


def _together(said: object, arrays: Arrays) -> object:
    if isinstance(said, list):
        return tuple(_together(of, arrays) for of in said)
    if not isinstance(said, dict):
        return said
    if "array" in said:
        return arrays[said["array"]]
    if "table" in said:
        return {key: _together(of, arrays) for key, of in said["table"].items()}
    parts = {name: _together(of, arrays) for name, of in said["fields"].items()}
    return _KINDS[said["kind"]](**parts)
