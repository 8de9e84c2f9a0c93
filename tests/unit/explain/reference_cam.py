"""Print the maps of pytorch-grad-cam for given activations and gradients, as JSON.

    pip install --no-deps grad-cam==1.5.7      # into an environment with torch and numpy
    python tests/unit/explain/reference_cam.py > tests/unit/explain/reference_cam.json

Its own weighing code is called; what it imports for pictures is not needed and may be absent.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib import metadata
from unittest.mock import MagicMock

import numpy as np

_NOT_NEEDED = (
    "torchvision", "torchvision.transforms", "torchvision.transforms.functional", "ttach", "cv2",
    "tqdm", "matplotlib", "matplotlib.pyplot", "matplotlib.lines", "sklearn",
    "sklearn.decomposition",
)  # fmt: skip
NAMES = {
    "grad_cam": ("grad_cam", "GradCAM"),
    "grad_cam_plus_plus": ("grad_cam_plusplus", "GradCAMPlusPlus"),
    "xgrad_cam": ("xgrad_cam", "XGradCAM"),
    "layer_cam": ("layer_cam", "LayerCAM"),
    "hires_cam": ("hirescam", "HiResCAM"),
    "eigen_grad_cam": ("eigen_grad_cam", "EigenGradCAM"),
}


def inputs(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return activation and gradient, shape (1, K, h, w): after a ReLU, or of both signs."""
    rng = np.random.default_rng(7)
    activation = rng.standard_normal((1, 6, 5, 4))
    if kind == "rectified":
        activation = np.maximum(activation, 0.0)
    gradient = 0.3 * rng.standard_normal((1, 6, 5, 4))
    if kind == "even":
        gradient = np.broadcast_to(gradient.mean(axis=(2, 3), keepdims=True), gradient.shape)
    return activation.astype(np.float32), gradient.astype(np.float32)


def main() -> None:
    """Print everything."""
    for name in _NOT_NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = MagicMock()
    found: dict[str, object] = {}
    for kind in ("rectified", "signed", "even"):
        activation, gradient = inputs(kind)
        for ours, (module, name) in NAMES.items():
            method = getattr(importlib.import_module(f"pytorch_grad_cam.{module}"), name)
            cam = method.__new__(method)
            cam.uses_gradients = True
            # its own road: weights of the channels, their sum, as BaseCAM.get_cam_image has it
            image = cam.get_cam_image(None, None, [], activation, gradient, False)
            found[f"{kind} {ours}"] = np.asarray(image, np.float64)[0].round(7).tolist()
    version = metadata.version("grad-cam")
    found["version"] = f"grad-cam {version}"
    json.dump(found, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
