"""The target layer: found or named, and read as channels of cells whatever its layout is.

map      (B, K, h, w)      a convolution's output
tokens   (B, T, K)         a transformer's: T = h w, after any class and register tokens
volume   (B, K, d, h, w)   a 3-D convolution's; its map is the highest value along d
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import NodeProto

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.onnx_file import Shape

Layout = Literal["map", "tokens", "volume"]

SHAPES: dict[str, str] = {
    "map": "(batch, K, h, w)",
    "tokens": "(batch, tokens, K)",
    "volume": "(batch, K, d, h, w)",
}

_MOST_PREFIX_TOKENS = 16
"""Class and register tokens stand before those of the image."""

_SKEW = 2
"""By how much coarser cells may be in one direction than in the other, to be found unnamed."""

_SELECTING = {"Gather", "Slice"}

_PARTS_OF_ATTENTION = {"MatMul", "Softmax", "Transpose", "Reshape", "Slice", "Split", "Squeeze"}
"""Their outputs of four axes are heads and shares, not maps, unless they are averaged over space;
such a layer can still be named."""

_POOLING = {"GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "ReduceMean"}


@dataclass(frozen=True, slots=True)
class TargetLayer:
    """Where the maps of a network come from.

    Attributes
    ----------
    name : str
        Tensor in the graph.
    cells : tuple of int
        Rows and columns.
    depth : int
        Planes of a volume; 1 for everything else.
    prefix : int
        Tokens before those of the image.
    """

    name: str
    layout: Layout
    channels: int
    cells: tuple[int, int]
    depth: int = 1
    prefix: int = 0

    def view(self, network: Network, tensor: str) -> str:
        """Add the nodes that bring a tensor of this layout to (B, K, h, w) or (B, K, d, h, w)."""
        if self.layout != "tokens":
            return tensor
        rows, columns = self.cells
        bounds = (network.ints(n) for n in (self.prefix, self.prefix + rows * columns, 1))
        image_tokens = network.add("Slice", tensor, *bounds)
        turned = network.add("Transpose", image_tokens, perm=[0, 2, 1])
        return network.add("Reshape", turned, network.ints(0, self.channels, rows, columns))

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of space in a viewed tensor."""
        return (2, 3, 4) if self.layout == "volume" else (2, 3)

    @property
    def viewed(self) -> tuple[int, ...]:
        """Shape of a viewed tensor after the batch."""
        if self.layout == "volume":
            return (self.channels, self.depth, *self.cells)
        return (self.channels, *self.cells)


def target_layer(network: Network, name: str = "", layout: Layout = "map") -> TargetLayer:
    """Read the layer that is named, or the last one with spatial extent (:func:`find_target`).

    Raises
    ------
    ModelPackageError
        If there is none of this layout; names those that there are.
    """
    chosen = name or find_target(network, layout)
    found = _read(network, chosen, layout)
    if found is None:
        raise _no_layer(network, chosen, layout)
    return found


def find_target(network: Network, layout: Layout = "map") -> str:
    """Return the last tensor with spatial extent: walk back from the logits, nearest first.

    Where the head reads the class token alone, the other tokens behind the last attention no
    longer matter to it: then the last tensor before that attention is taken. The last layer of a
    segmentation network is its answer, not its reasons: of its maps the last of the coarsest is
    taken.

    Raises
    ------
    ModelPackageError
        If none is found.
    """
    if network.outline and layout == "map":
        return _coarsest(network)
    for node in _backwards(network, network.logits):
        if layout == "tokens" and node.op_type in _SELECTING:
            before = _before_attention(network, _width(network, node.input[0]))
            if before:
                return before
        if layout == "map" and _is_part_of_attention(network, node):
            continue
        found = _read(network, node.output[0], layout)
        if found and _is_like_the_image(network, found):
            _refuse_attention(network, node.output[0], layout)
            return str(node.output[0])
    raise _no_spatial_layer(network, layout)


def _is_part_of_attention(network: Network, node: NodeProto) -> bool:
    """Whether heads and shares are made here, and not a map that is turned to be pooled."""
    readers = (each for each in network.model.graph.node if node.output[0] in each.input)
    return node.op_type in _PARTS_OF_ATTENTION and not any(
        reader.op_type in _POOLING for reader in readers
    )


def _is_like_the_image(network: Network, found: TargetLayer) -> bool:
    """Whether cells are about as much coarser in both directions: channels are no columns."""
    _, height, width = network.input_shape
    finer = found.cells[0] / height, found.cells[1] / width
    return max(finer) <= _SKEW * min(finer)


def _coarsest(network: Network) -> str:
    """Return the last of the maps with the fewest cells that lead to an outline."""
    above = {name for node in _backwards(network, network.outline) for name in node.output}
    found = [
        layer
        for node in network.model.graph.node
        if node.op_type not in _PARTS_OF_ATTENTION
        and node.output[0] in above
        and (layer := _read(network, node.output[0], "map"))
        and _is_like_the_image(network, layer)
    ]
    if not found:
        raise _no_spatial_layer(network, "map")
    fewest = min(layer.cells[0] * layer.cells[1] for layer in found)
    return [layer.name for layer in found if layer.cells[0] * layer.cells[1] == fewest][-1]


def _no_spatial_layer(network: Network, layout: Layout) -> ModelPackageError:
    return ModelPackageError(
        network.thing,
        f"no layer with a spatial extent was found between image and logits: none is {SHAPES[layout]}",
        "name one in explanation.target_layer, or another explanation.layer_layout",
    )


def _refuse_attention(network: Network, name: str, layout: Layout) -> None:
    """Refuse the map that a transformer cuts its patches from: it is the first layer, not the last.

    Raises
    ------
    ModelPackageError
        If tokens are mixed between it and the logits.
    """
    below = {name}
    for node in network.model.graph.node if layout == "map" else ():
        if name not in node.output and not below.isdisjoint(node.input):
            below.update(node.output)
            is_computed = network.constants.keys().isdisjoint(node.input)
            if node.op_type == "MatMul" and is_computed:
                raise ModelPackageError(
                    network.thing,
                    f"its last map {name!r} is followed by attention between tokens",
                    'state layer_layout = "tokens" under [explanation], or name a target_layer',
                )


def _backwards(network: Network, name: str) -> Iterator[NodeProto]:
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop(0)
        node = network.producers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        yield node
        waiting += [source for source in node.input if source]


def _before_attention(network: Network, width: int) -> str:
    """Return the last tokens of this width that the last attention reads; "" if there is none."""
    nodes = network.model.graph.node
    shares = [node.output[0] for node in nodes if node.op_type == "Softmax"]
    if not shares or not width:
        return ""
    above = {name for node in _backwards(network, shares[-1]) for name in node.output}
    for node in reversed(nodes):
        found = _read(network, node.output[0], "tokens") if node.output[0] in above else None
        if found and found.channels == width:
            return found.name
    return ""


def _read(network: Network, name: str, layout: Layout) -> TargetLayer | None:
    shape = network.shapes.get(name, ())
    if layout == "tokens":
        return _tokens(network, name, shape)
    if len(shape) != (4 if layout == "map" else 5) or shape[0] is not None:
        return None
    lengths = [n for n in shape[1:] if n is not None]
    if len(lengths) != len(shape) - 1 or lengths[-1] * lengths[-2] <= 1:
        return None
    depth = lengths[1] if layout == "volume" else 1
    return TargetLayer(name, layout, lengths[0], (lengths[-2], lengths[-1]), depth)


def _tokens(network: Network, name: str, shape: Shape) -> TargetLayer | None:
    if len(shape) != 3 or shape[1] is None or shape[2] is None or shape[0] is not None:
        return None
    _, height, width = network.input_shape
    for prefix in range(_MOST_PREFIX_TOKENS + 1):
        for patch in range(2, min(height, width) + 1):
            rows, columns = height // patch, width // patch
            exact = rows * patch == height and columns * patch == width
            if exact and rows * columns == shape[1] - prefix > 1:
                return TargetLayer(name, "tokens", shape[2], (rows, columns), prefix=prefix)
    return None


def _width(network: Network, name: str) -> int:
    shape = network.shapes.get(name, ())
    return int(shape[2] or 0) if len(shape) == 3 else 0


def _no_layer(network: Network, layer: str, layout: Layout) -> ModelPackageError:
    made = (name for name in network.shapes if name in network.producers)  # not the image itself
    layers = [name for name in made if _read(network, name, layout)]
    return ModelPackageError(
        network.thing,
        f"explanation.target_layer {layer!r} is not a tensor of shape {SHAPES[layout]} in it",
        f"the last ones are {', '.join(layers[-4:])}; "
        f"leave it empty for {find_target(network, layout)}",
    )


def positive_map(network: Network, layer: TargetLayer, weighted: str) -> str:
    """Add the positive part of the sum over the channels of (B, K, …), shape (B, h, w)."""
    cam = network.add("Relu", network.add("ReduceSum", weighted, network.ints(1), keepdims=0))
    if layer.layout == "volume":
        return network.add("ReduceMax", cam, network.ints(1), keepdims=0)
    return cam


def chosen_class(network: Network, target: str = "") -> str:
    """Add the class of each sample, int64 (B,): the winner, or ``target`` where it is not -1."""
    winner = network.add("ArgMax", network.logits, axis=1, keepdims=0)
    if not target:
        return winner
    asked = network.add("Less", target, network.constant(np.array(0), np.int64))
    return network.add("Where", asked, winner, target)
