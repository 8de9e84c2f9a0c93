"""Rules of activation functions: the gradient times the derivative, written in x and y."""

from __future__ import annotations

import math

from lightbox.infer.graphs.vjp.step import Rule, Slopes, Step


def _where_positive(step: Step, above: str, below: str) -> str:
    """Choose by the sign of x; at 0 the lower branch, as torch does."""
    return step.add("Where", step.add("Greater", step.x, step.number(0.0)), above, below)


def _relu(step: Step) -> Slopes:
    yield step.x, _where_positive(step, step.slope, step.number(0.0))


def _leaky_relu(step: Step) -> Slopes:
    leak = step.add("Mul", step.slope, step.number(step.number_of("alpha", 0.01)))
    yield step.x, _where_positive(step, step.slope, leak)


def _elu(step: Step) -> Slopes:
    alpha = step.number(step.number_of("alpha", 1.0))  # for x <= 0: y + alpha = alpha exp(x)
    curve = step.add("Mul", step.slope, step.add("Add", step.y, alpha))
    yield step.x, _where_positive(step, step.slope, curve)


def _sigmoid(step: Step) -> Slopes:
    other = step.add("Sub", step.number(1.0), step.y)
    yield step.x, step.add("Mul", step.slope, step.add("Mul", step.y, other))


def _tanh(step: Step) -> Slopes:
    square = step.add("Mul", step.y, step.y)
    yield step.x, step.add("Mul", step.slope, step.add("Sub", step.number(1.0), square))


def _exp(step: Step) -> Slopes:
    yield step.x, step.add("Mul", step.slope, step.y)


def _sqrt(step: Step) -> Slopes:
    yield step.x, step.add("Div", step.slope, step.add("Mul", step.y, step.number(2.0)))


def _pow(step: Step) -> Slopes:
    exponent = step.network.constants.get(step.node.input[1])
    if exponent is None or exponent.size != 1:
        raise step.unsupported("has a computed exponent")
    power = float(exponent.astype(float).ravel()[0])
    root = step.add("Pow", step.x, step.number(power - 1.0))
    yield step.x, step.add("Mul", step.slope, step.add("Mul", root, step.number(power)))


def _erf(step: Step) -> Slopes:
    bell = step.add("Exp", step.add("Neg", step.add("Mul", step.x, step.x)))
    scaled = step.add("Mul", bell, step.number(2.0 / math.sqrt(math.pi)))
    yield step.x, step.add("Mul", step.slope, scaled)


def _gelu(step: Step) -> Slopes:
    if step.network.attribute(step.node, "approximate", b"none") != b"none":
        raise step.unsupported("is the tanh approximation of GELU")
    halved = step.add("Erf", step.add("Mul", step.x, step.number(math.sqrt(0.5))))
    cdf = step.add("Mul", step.add("Add", halved, step.number(1.0)), step.number(0.5))
    square = step.add("Mul", step.add("Mul", step.x, step.x), step.number(-0.5))
    pdf = step.add("Mul", step.add("Exp", square), step.number(1 / math.sqrt(2 * math.pi)))
    rise = step.add("Add", cdf, step.add("Mul", step.x, pdf))
    yield step.x, step.add("Mul", step.slope, rise)


def _inside(step: Step, low: str, high: str) -> str:
    """Let the gradient through where low < x < high."""
    inside = step.add("And", step.add("Greater", step.x, low), step.add("Less", step.x, high))
    return step.add("Where", inside, step.slope, step.number(0.0))


def _clip(step: Step) -> Slopes:
    bounds = [*step.node.input[1:], "", ""]
    low = bounds[0] or step.number(-math.inf)
    high = bounds[1] or step.number(math.inf)
    yield step.x, _inside(step, low, high)


def _hard_sigmoid(step: Step) -> Slopes:
    alpha, beta = step.number_of("alpha", 0.2), step.number_of("beta", 0.5)
    low, high = step.number(-beta / alpha), step.number((1 - beta) / alpha)
    yield step.x, step.add("Mul", _inside(step, low, high), step.number(alpha))


def _hard_swish(step: Step) -> Slopes:
    # y = x clip(x / 6 + 1/2, 0, 1); inside dy/dx = x / 3 + 1/2, above 3 it is 1
    rise = step.add("Add", step.add("Div", step.x, step.number(3.0)), step.number(0.5))
    curved = step.add("Mul", step.slope, rise)
    high = step.add("Less", step.x, step.number(3.0))
    upper = step.add("Where", high, curved, step.slope)
    low = step.add("Greater", step.x, step.number(-3.0))
    yield step.x, step.add("Where", low, upper, step.number(0.0))


def _softmax(step: Step) -> Slopes:
    axis = step.network.ints(int(step.number_of("axis", -1)))
    total = step.add("ReduceSum", step.add("Mul", step.slope, step.y), axis, keepdims=1)
    yield step.x, step.add("Mul", step.y, step.add("Sub", step.slope, total))


CURVES: dict[str, Rule] = {
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "Exp": _exp,
    "Sqrt": _sqrt,
    "Pow": _pow,
    "Erf": _erf,
    "Gelu": _gelu,
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Softmax": _softmax,
}
