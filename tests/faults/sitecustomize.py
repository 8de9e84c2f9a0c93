"""Makes the network's engine fail in a worker process, as a device would: put on PYTHONPATH.

The file that ``LIGHTBOX_TEST_FAULT`` names says how, as JSON; where it is missing nothing happens.
``raise``: text of the engine's error; ``more_than``: only for so many images and more;
``times``: how often, then the file is removed; ``nan``: answer with NaN in place of an error;
``pictures``: only for what was photographed, not for what the worker warms its networks with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FAULT = os.environ.get("LIGHTBOX_TEST_FAULT", "")


def spoil() -> None:
    """Wrap the engine's only call."""
    import numpy as np
    import onnxruntime as ort

    real = ort.InferenceSession.run
    error = ort.capi.onnxruntime_pybind11_state.RuntimeException

    def is_picture(images: np.ndarray) -> bool:
        """Say whether there is a background: many pixels of the lowest value, not all."""
        darkest = images == images.min()
        return bool(images.ndim == 4 and 0.01 < darkest.mean() < 1)

    def run(session, outputs, feeds):  # type: ignore[no-untyped-def]  # as the engine's own
        try:
            fault = json.loads(Path(FAULT).read_text())
        except (FileNotFoundError, ValueError):
            return real(session, outputs, feeds)
        images = max(len(each) for each in feeds.values() if each.dtype == bool or each.ndim == 4)
        if images <= fault.get("more_than", 0):
            return real(session, outputs, feeds)
        if fault.get("pictures") and not any(is_picture(each) for each in feeds.values()):
            return real(session, outputs, feeds)
        if "times" in fault:
            fault["times"] -= 1
            if fault["times"] <= 0:
                Path(FAULT).unlink()
            else:
                Path(FAULT).write_text(json.dumps(fault))
        if fault.get("nan"):
            return [np.full_like(each, np.nan) for each in real(session, outputs, feeds)]
        raise error(fault["raise"])

    ort.InferenceSession.run = run


if FAULT and sys.orig_argv[-1] == "work":
    spoil()
