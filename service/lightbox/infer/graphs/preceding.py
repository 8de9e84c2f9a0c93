"""A package's own preprocessing in front of its network: two graphs become one.

What the manifest cannot express comes as ``preprocess.onnx``, never as code. It reads what the
manifest's preprocessing gives and answers what the network reads, pixel for pixel at the same
place: so masks, maps and outlines still lie where they belong, and audits mask the image that a
person sees.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, compose, version_converter

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.onnx_file import (
    image_shape,
    inferred_shapes,
    only_input,
    only_output,
    parsed,
    words,
)

_PREFIX = "preprocess_"


def preceded(first: bytes, weights: bytes, thing: str, network: str) -> bytes:
    """Return one model file that runs both.

    Parameters
    ----------
    first : bytes
        ``preprocess.onnx``: one input (batch, C, H, W), one output (batch, C', H, W).
    weights : bytes
        The network's file, input (batch, C', H, W).
    thing, network : str
        Their names in errors.

    Raises
    ------
    ModelPackageError
        If either cannot be read, or the one's output is not the other's input.
    """
    before, after = parsed(first, thing), parsed(weights, network)
    given, asked = only_output(before, thing), only_input(after, network)
    source = inferred_shapes(before)
    _, height, width = image_shape(source.get(only_input(before, thing), ()), thing)
    wanted = inferred_shapes(after).get(asked, ())
    made = source.get(given, ())
    if len(made) != 4 or made[1:] != wanted[1:] or made[2:] != (height, width):
        raise ModelPackageError(
            thing,
            f"gives {words(made)} of images of {height} x {width} pixels, the network reads "
            f"{words(wanted)}",
            "let it keep every pixel at its place, and give what the network reads",
        )
    before, after = _of_one_opset(before, after, thing)
    try:
        joined = compose.merge_models(
            compose.add_prefix(before, _PREFIX), after, io_map=[(_PREFIX + given, asked)]
        )
        onnx.checker.check_model(joined)
    except (ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ModelPackageError(
            thing, f"cannot stand before the network: {reason}", "export it anew"
        ) from error
    data: bytes = joined.SerializeToString()
    return data


def _of_one_opset(
    before: ModelProto, after: ModelProto, thing: str
) -> tuple[ModelProto, ModelProto]:
    """Bring both to the newer operator set of the two."""
    highest = max(_opset(before), _opset(after))
    try:
        before, after = (
            model if _opset(model) == highest else version_converter.convert_version(model, highest)
            for model in (before, after)
        )
    except (RuntimeError, ValueError) as error:
        raise ModelPackageError(
            thing,
            f"has another operator set than the network: {str(error).splitlines()[0]}",
            "export both with the same opset_version",
        ) from error
    before.ir_version = after.ir_version = max(before.ir_version, after.ir_version)
    return before, after


def _opset(model: ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), 0)
