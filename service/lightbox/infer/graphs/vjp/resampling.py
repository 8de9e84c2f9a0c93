"""The rule of Resize: a picture made larger is two matrix products, and so is the way back.

Along each axis y = R x, where R follows from the operator's attributes (ONNX, Resize); the
gradient is that of R^T. So sizes must be fixed, and only what interpolates is known: "nearest" and
"linear".
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.infer.graphs.vjp.step import Rule, Slopes, Step


def _resize(step: Step) -> Slopes:
    before, after = step.lengths(step.x), step.lengths(step.y)
    if len(before) != 3 or before[0] != after[0]:
        raise step.unsupported("resizes other axes than height and width")
    _refuse_fractions(step, before, after)
    rows, columns = (_weights(step, *pair) for pair in list(zip(before, after, strict=True))[1:])
    slope = step.add("MatMul", step.network.constant(rows.T, np.float32), step.slope)
    yield step.x, step.add("MatMul", slope, step.network.constant(columns, np.float32))


def _refuse_fractions(step: Step, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Refuse scales that the sizes do not say: then positions are not what they seem."""
    inputs = [*step.node.input, "", ""]
    scales = step.network.constants.get(inputs[2]) if inputs[2] else None
    if scales is None or not scales.size:
        return
    axes = step.list_of("axes", list(range(len(before) + 1)))
    ratios = dict(enumerate(np.divide(after, before), start=1))
    if not np.allclose(scales, [ratios.get(axis, 1.0) for axis in axes]):
        raise step.unsupported("scales by fractions of a pixel")


def _weights(step: Step, before: int, after: int) -> FloatMap:
    """Return R, shape (after, before)."""
    at = _positions(step, before, after)
    mode = _word(step, "mode", "nearest")
    if mode == "nearest":
        nearest: FloatMap = np.eye(before)[np.clip(_nearest(step, at), 0, before - 1)]
        return nearest
    if mode != "linear" or step.number_of("antialias", 0):
        raise step.unsupported(f"interpolates by {mode}")
    at = np.clip(at, 0.0, before - 1.0)
    low = np.floor(at).astype(np.int64)
    share = (at - low)[:, None]
    weights: FloatMap = (1.0 - share) * np.eye(before)[low]
    weights += share * np.eye(before)[np.minimum(low + 1, before - 1)]
    return weights


def _positions(step: Step, before: int, after: int) -> FloatMap:
    """Return where each output pixel lies in the input."""
    to, way = np.arange(after, dtype=np.float64), "coordinate_transformation_mode"
    if after == 1 and _word(step, way, "") in {"pytorch_half_pixel", "align_corners"}:
        return np.zeros(1)
    placed: dict[str, FloatMap] = {
        "half_pixel": (to + 0.5) * (before / after) - 0.5,
        "pytorch_half_pixel": (to + 0.5) * (before / after) - 0.5,
        "asymmetric": to * (before / after),
        "align_corners": to * ((before - 1) / max(1, after - 1)),
    }
    chosen = _word(step, way, "half_pixel")
    if chosen not in placed:
        raise step.unsupported(f"places pixels by {chosen}")
    return placed[chosen]


def _nearest(step: Step, at: FloatMap) -> np.ndarray:
    match _word(step, "nearest_mode", "round_prefer_floor"):
        case "floor":
            found = np.floor(at)
        case "ceil":
            found = np.ceil(at)
        case "round_prefer_ceil":
            found = np.floor(at + 0.5)
        case _:
            found = np.ceil(at - 0.5)
    return found.astype(np.int64)


def _word(step: Step, attribute: str, default: str) -> str:
    value = step.network.attribute(step.node, attribute, default.encode())
    assert isinstance(value, bytes)
    return value.decode()


RESAMPLING: dict[str, Rule] = {"Resize": _resize}
