"""Rules of arithmetic, matrix products, means and shapes."""

from __future__ import annotations

import math

import numpy as np

from lightbox.infer.graphs.vjp.step import Rule, Slopes, Step


def _unbroadcast(step: Step, slope: str, source: str) -> str:
    """Sum over the axes of length 1 that broadcasting had repeated."""
    before, after = step.shape(source), step.shape(step.y)
    if len(before) != len(after):  # then the batch axes would not lie on one another
        raise step.unsupported("broadcasts a computed tensor of lower rank")
    ones = [i for i, n in enumerate(before) if n == 1 and after[i] != 1]
    if not ones:
        return slope
    return step.add("ReduceSum", slope, step.network.ints(*ones), keepdims=1)


def _add(step: Step) -> Slopes:
    for position, source in enumerate(step.node.input):
        if source in step.below:
            negative = step.node.op_type == "Sub" and position == 1
            slope = step.add("Neg", step.slope) if negative else step.slope
            yield source, _unbroadcast(step, slope, source)


def _mul(step: Step) -> Slopes:
    left, right = step.node.input
    for source, other in ((left, right), (right, left)):
        if source in step.below:
            yield source, _unbroadcast(step, step.add("Mul", step.slope, other), source)


def _div(step: Step) -> Slopes:
    above, under = step.node.input
    share = step.add("Div", step.slope, under)
    if above in step.below:
        yield above, _unbroadcast(step, share, above)
    if under in step.below:
        falling = step.add("Neg", step.add("Mul", share, step.y))
        yield under, _unbroadcast(step, falling, under)


def _gemm(step: Step) -> Slopes:
    if step.number_of("transA", 0) or step.below.intersection(step.node.input[1:]):
        raise step.unsupported("has a transposed or computed matrix")
    turned = 0 if step.number_of("transB", 0) else 1
    alpha = step.number_of("alpha", 1.0)
    yield step.x, step.add("Gemm", step.slope, step.node.input[1], transB=turned, alpha=alpha)


def _matmul(step: Step) -> Slopes:
    left, right = step.node.input
    if left in step.below:
        back = step.add("MatMul", step.slope, _turned(step, right))
        yield left, _unbroadcast_stack(step, back, left)
    if right in step.below:
        back = step.add("MatMul", _turned(step, left), step.slope)
        yield right, _unbroadcast_stack(step, back, right)


def _turned(step: Step, name: str) -> str:
    rank = len(step.shape(name))
    if rank < 2:
        raise step.unsupported("has a vector as a factor")
    return step.add("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])


def _unbroadcast_stack(step: Step, slope: str, source: str) -> str:
    """Refuse a product whose stack of matrices was broadcast into a computed factor."""
    if len(step.shape(source)) != len(step.shape(step.y)):
        raise step.unsupported("broadcasts a computed matrix over a stack")
    return slope


def _reshape(step: Step) -> Slopes:
    yield step.x, step.add("Reshape", step.slope, step.add("Shape", step.x))


def _transpose(step: Step) -> Slopes:
    rank = len(step.shape(step.x))
    turn = step.list_of("perm", list(reversed(range(rank))))
    yield step.x, step.add("Transpose", step.slope, perm=[turn.index(i) for i in range(rank)])


def _same(step: Step) -> Slopes:
    yield step.x, step.slope


def _reduce(step: Step) -> Slopes:
    shape = step.shape(step.x)
    axes = _axes(step, len(shape))
    counts = [shape[axis] for axis in axes]
    if None in counts:
        raise step.unsupported("averages over an axis of free length")
    slope = step.slope
    if step.node.op_type != "GlobalAveragePool" and not step.number_of("keepdims", 1):
        slope = step.add("Unsqueeze", slope, step.network.ints(*axes))
    if step.node.op_type != "ReduceSum":
        share = 1.0 / math.prod(count or 1 for count in counts)
        slope = step.add("Mul", slope, step.number(share))
    yield step.x, step.add("Expand", slope, step.add("Shape", step.x))


def _axes(step: Step, rank: int) -> list[int]:
    if step.node.op_type == "GlobalAveragePool":
        return list(range(2, rank))
    if len(step.node.input) < 2 or not step.node.input[1]:
        return list(range(rank))
    axes = step.network.constants.get(step.node.input[1])
    if axes is None:
        raise step.unsupported("has computed axes")
    return sorted(int(axis) % rank for axis in axes.ravel())


def _batch_norm(step: Step) -> Slopes:
    scale, variance = (step.network.constants.get(step.node.input[i]) for i in (1, 4))
    if scale is None or variance is None:
        raise step.unsupported("has computed statistics")
    factor = scale / np.sqrt(variance.astype(np.float64) + step.number_of("epsilon", 1e-5))
    shaped = factor.reshape(1, -1, *[1] * (len(step.shape(step.x)) - 2))
    yield step.x, step.add("Mul", step.slope, step.network.constant(shaped, np.float32))


def _layer_norm(step: Step) -> Slopes:
    """Ba et al. 2016: y = scale x_hat + shift, x_hat over the axes from ``axis`` on."""
    rank = len(step.shape(step.x))
    first = int(step.number_of("axis", -1)) % rank
    axes = step.network.ints(*range(first, rank))
    centred = step.add("Sub", step.x, step.add("ReduceMean", step.x, axes, keepdims=1))
    variance = step.add("ReduceMean", step.add("Mul", centred, centred), axes, keepdims=1)
    epsilon = step.number(step.number_of("epsilon", 1e-5))
    deviation = step.add("Sqrt", step.add("Add", variance, epsilon))
    unit = step.add("Div", centred, deviation)
    scaled = step.add("Mul", step.slope, step.node.input[1])
    mean = step.add("ReduceMean", scaled, axes, keepdims=1)
    along = step.add("ReduceMean", step.add("Mul", scaled, unit), axes, keepdims=1)
    turned = step.add("Sub", step.add("Sub", scaled, mean), step.add("Mul", unit, along))
    yield step.x, step.add("Div", turned, deviation)


def _concat(step: Step) -> Slopes:
    axis = int(step.number_of("axis", 0)) % len(step.shape(step.y))
    lengths = [step.shape(source)[axis] for source in step.node.input]
    if None in lengths:
        raise step.unsupported("joins along an axis of free length")
    start = 0
    for source, length in zip(step.node.input, lengths, strict=True):
        end = start + (length or 0)
        if source in step.below:
            bounds = (step.network.ints(value) for value in (start, end, axis))
            yield source, step.add("Slice", step.slope, *bounds)
        start = end


ALGEBRA: dict[str, Rule] = {
    "Add": _add,
    "Sub": _add,
    "Mul": _mul,
    "Div": _div,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Transpose": _transpose,
    "Identity": _same,
    "Dropout": _same,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "GlobalAveragePool": _reduce,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Concat": _concat,
}
