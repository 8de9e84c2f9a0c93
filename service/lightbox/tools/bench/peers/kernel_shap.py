"""captum's KernelShap on an image and the same weights, as its documentation shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from lightbox.explain.game import Masking
from lightbox.tools.bench.peers.torch_twin import torch_twin


def kernel_shap(
    weights: bytes, layer: str, masking: Masking, arithmetic: Mapping[str, str]
) -> Callable[[int], object] | None:
    """Return captum's KernelShap over the same regions and baseline.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    layer : str
        Any tensor of it.
    masking : Masking
        Image, baseline, regions.
    arithmetic : mapping of str to str
        Of our runtime: it gets as many threads.

    Returns
    -------
    callable or None
        Runs so many evaluations, one after the other, which is its default; None where captum or
        torch is not installed.
    """
    if find_spec("torch") is None or find_spec("captum") is None:
        return None
    torch: Any = import_module("torch")
    torch.set_num_threads(int(arithmetic["threads"]))
    twin, _ = torch_twin(weights, layer)
    method: Any = import_module("captum.attr").KernelShap(twin)
    image = torch.from_numpy(np.array(masking.image[None], dtype=np.float32))
    baseline = torch.from_numpy(np.array(masking.baseline[None], dtype=np.float32))
    regions = torch.from_numpy(masking.regions.astype(np.int64))[None, None]
    regions = regions.expand_as(image)
    with torch.inference_mode():
        target = int(twin(image).argmax())

    def run(evaluations: int) -> object:
        with torch.inference_mode():
            return method.attribute(
                image,
                baselines=baseline,
                target=target,
                feature_mask=regions,
                n_samples=evaluations,
            )

    return run
