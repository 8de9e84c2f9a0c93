"""Rules of operators that slide a window: convolution and pooling."""

from __future__ import annotations

import math

import numpy as np

from lightbox.infer.graphs.vjp.step import Rule, Slopes, Step


def _explicit_padding(step: Step) -> list[int]:
    if step.network.attribute(step.node, "auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
        raise step.unsupported("pads automatically")
    rank = len(step.shape(step.x)) - 2
    return step.list_of("pads", [0] * (2 * rank))


def _transposed(step: Step, kernel: str, window: list[int], group: int) -> str:
    """Spread the gradient back over the input: a transposed convolution of the true size."""
    rank = len(window)
    strides = step.list_of("strides", [1] * rank)
    dilations = step.list_of("dilations", [1] * rank)
    pads = _explicit_padding(step)
    before, after = step.lengths(step.x)[1:], step.lengths(step.y)[1:]
    missing = [
        before[i]
        - (after[i] - 1) * strides[i]
        + pads[i]
        + pads[rank + i]
        - dilations[i] * (window[i] - 1)
        - 1
        for i in range(rank)
    ]
    return step.add(
        "ConvTranspose",
        step.slope,
        kernel,
        kernel_shape=window,
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=group,
        output_padding=missing,
    )


def _conv(step: Step) -> Slopes:
    if step.below.intersection(step.node.input[1:]):
        raise step.unsupported("has a computed kernel")
    kernel = step.node.input[1]
    window = [n or 1 for n in step.shape(kernel)[2:]]
    yield step.x, _transposed(step, kernel, window, int(step.number_of("group", 1)))


def _conv_transpose(step: Step) -> Slopes:
    if step.below.intersection(step.node.input[1:]):
        raise step.unsupported("has a computed kernel")
    kernel = step.node.input[1]
    window = [n or 1 for n in step.shape(kernel)[2:]]
    rank = len(window)
    back = step.add(
        "Conv",
        step.slope,
        kernel,
        kernel_shape=window,
        strides=step.list_of("strides", [1] * rank),
        pads=_explicit_padding(step),
        dilations=step.list_of("dilations", [1] * rank),
        group=int(step.number_of("group", 1)),
    )
    yield step.x, back


def _average_pool(step: Step) -> Slopes:
    pads = _explicit_padding(step)
    if any(pads) and not step.number_of("count_include_pad", 0):
        raise step.unsupported("leaves its padding out of the average")
    if step.number_of("ceil_mode", 0):
        raise step.unsupported("rounds its size up")
    window = step.list_of("kernel_shape", [])
    channels = step.lengths(step.x)[0]
    share = np.full((channels, 1, *window), 1.0 / math.prod(window))
    kernel = step.network.constant(share, np.float32)
    yield step.x, _transposed(step, kernel, window, channels)


def _max_pool(step: Step) -> Slopes:
    """Send each gradient to the place that its maximum came from; overlapping windows add up."""
    network = step.network
    attributes: dict[str, object] = {}
    for attribute in step.node.attribute:
        if attribute.name != "storage_order":
            attributes[attribute.name] = network.attribute(step.node, attribute.name)
    where = network.add_outputs("MaxPool", [step.x], 2, attributes)[1]
    flat = network.ints(-1)
    size = step.add("Size", step.x)
    zeros = step.add("Expand", step.number(0.0), step.add("Reshape", size, flat))
    spread = step.add(
        "ScatterElements",
        zeros,
        step.add("Reshape", where, flat),
        step.add("Reshape", step.slope, flat),
        axis=0,
        reduction="add",
    )
    yield step.x, step.add("Reshape", spread, step.add("Shape", step.x))


WINDOWS: dict[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
}
