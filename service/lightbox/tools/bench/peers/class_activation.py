"""Grad-CAM by other packages, on the same weights and at the same layer as ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.tools.bench.peers.torch_twin import Module, torch_twin

MapOf: TypeAlias = Callable[[ImageTensor], FloatMap]
"""Images, shape (B, C, H, W), to maps of each one's winning class, shape (B, h, w)."""


def installed_maps(weights: bytes, layer: str, threads: int) -> dict[str, MapOf]:
    """Return Grad-CAM of every package that can be imported, ready to run.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    layer : str
        Tensor that the map is of.
    threads : int
        As many as our session uses.
    """
    if find_spec("torch") is None:
        return {}
    found = {name: make for name, (module, make) in _PEERS.items() if find_spec(module)}
    if not found:
        return {}
    torch: Any = import_module("torch")
    torch.set_num_threads(threads)
    twin, part = torch_twin(weights, layer)
    return {name: make(twin, part) for name, make in found.items()}


def torch_forward(weights: bytes, layer: str) -> Callable[[ImageTensor], FloatMap] | None:
    """Return the torch twin's forward pass; None where torch is not installed."""
    if find_spec("torch") is None:
        return None
    torch: Any = import_module("torch")
    twin, _ = torch_twin(weights, layer)

    def forward(images: ImageTensor) -> FloatMap:
        with torch.inference_mode():
            logits: FloatMap = twin(torch.from_numpy(images)).numpy()
        return logits

    return forward


def _captum(twin: Module, part: Module) -> MapOf:
    torch: Any = import_module("torch")
    layer_grad_cam: Any = import_module("captum.attr").LayerGradCam
    method = layer_grad_cam(twin, part)

    def maps(images: ImageTensor) -> FloatMap:
        tensor = torch.from_numpy(images)
        with torch.no_grad():
            winners = twin(tensor).argmax(dim=1)
        found = method.attribute(tensor, target=winners, relu_attributions=True)
        out: FloatMap = found.detach().numpy()[:, 0]
        return out

    return maps


def _grad_cam(twin: Module, part: Module) -> MapOf:
    with _without_torchvision():
        grad_cam: Any = import_module("pytorch_grad_cam").GradCAM
    torch: Any = import_module("torch")
    method = grad_cam(model=twin, target_layers=[part])

    def maps(images: ImageTensor) -> FloatMap:
        out: FloatMap = np.asarray(method(torch.from_numpy(images), None))
        return out

    return maps


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Let empty modules stand in for torchvision while something imports it.

    pytorch-grad-cam imports it for image files and for a method that is not used here; a torchvision
    must fit torch's build, and often there is none that does.
    """
    real = {name: sys.modules.pop(name) for name in list(sys.modules) if name in _STAND_INS}
    for name, members in _STAND_INS.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, object)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in _STAND_INS:
            del sys.modules[name]
        sys.modules.update(real)


_STAND_INS: Mapping[str, tuple[str, ...]] = {
    "torchvision": (),
    "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
    "torchvision.transforms.functional": ("resize",),
}

_PEERS: Mapping[str, tuple[str, Callable[[Module, Module], MapOf]]] = {
    "captum LayerGradCam": ("captum", _captum),
    "pytorch-grad-cam": ("pytorch_grad_cam", _grad_cam),
}
