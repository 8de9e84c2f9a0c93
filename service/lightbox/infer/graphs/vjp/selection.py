"""Rules of operators that take a part: the gradient goes back to where the part was."""

from __future__ import annotations

import numpy as np

from lightbox.infer.graphs.vjp.step import Rule, Slopes, Step


def _zeros_like(step: Step, name: str) -> str:
    return step.add("Expand", step.number(0.0), step.add("Shape", name))


def _axis(step: Step, default: int) -> int:
    return int(step.number_of("axis", default)) % len(step.shape(step.x))


def _length(step: Step, axis: int) -> int:
    length = step.shape(step.x)[axis]
    if length is None:
        raise step.unsupported("selects along an axis of free length")
    return length


def _gather(step: Step) -> Slopes:
    """One index, such as that of the class token; the axis is lost where the index is a number."""
    where = step.network.constants.get(step.node.input[1])
    if where is None or where.size != 1:
        raise step.unsupported("selects more than one constant index")
    axis = _axis(step, 0)
    length = _length(step, axis)
    slope = step.slope
    if where.ndim == 0:
        slope = step.add("Unsqueeze", slope, step.network.ints(axis))
    index = int(where.astype(np.int64).ravel()[0]) % length
    yield step.x, _padded(step, slope, axis, index, length - index - 1)


def _slice(step: Step) -> Slopes:
    given = [step.network.constants.get(name) for name in step.node.input[1:]]
    if any(value is None or value.size != 1 for value in given) or len(given) < 3:
        raise step.unsupported("is not a constant part of one axis")
    start, end, axis, *strides = (int(value.ravel()[0]) for value in given if value is not None)
    if strides not in ([], [1]):
        raise step.unsupported("takes every second one or runs backwards")
    axis %= len(step.shape(step.x))
    first, last, _ = slice(start, end).indices(_length(step, axis))
    yield step.x, _padded(step, step.slope, axis, first, _length(step, axis) - last)


def _padded(step: Step, slope: str, axis: int, before: int, after: int) -> str:
    """Put zeros around the gradient of a part."""
    if not before and not after:
        return slope
    rank = len(step.shape(step.x))
    pads = [0] * (2 * rank)
    pads[axis], pads[rank + axis] = before, after
    return step.add("Pad", slope, step.network.ints(*pads))


def _split(step: Step) -> Slopes:
    """Join the gradients of the parts; a part that nothing reads has none."""
    parts = [step.slopes.get(name) or _zeros_like(step, name) for name in step.node.output]
    yield step.x, step.add("Concat", *parts, axis=_axis(step, 0))


def _where(step: Step) -> Slopes:
    """Send the gradient to whichever of the two was taken; both must have the output's shape."""
    condition, *choices = step.node.input
    for source, taken in zip(choices, (True, False), strict=True):
        if source not in step.below:
            continue
        if step.shape(source) != step.shape(step.y):
            raise step.unsupported("broadcasts what it chooses from")
        zero = step.number(0.0)
        pair = (step.slope, zero) if taken else (zero, step.slope)
        yield source, step.add("Where", condition, *pair)


SELECTION: dict[str, Rule] = {"Gather": _gather, "Slice": _slice, "Split": _split, "Where": _where}
