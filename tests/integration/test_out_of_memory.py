"""A network in a process that really has no memory left: the operating system refuses more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from site_of_tests import MODELS

SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from lightbox.app.clock import SystemClock
from lightbox.infer.packages import load
from lightbox.infer.runtimes.eased import EasedRuntime
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime

BATCH, SPARE = 64, int(sys.argv[2])
loaded = load(Path(sys.argv[1]))
runtime = EasedRuntime(lambda _: OnnxRuntime(loaded, "cpu", 1, BATCH), SystemClock(), print)
image = np.random.default_rng(0).random((1, *runtime.image_shape)).astype(np.float32)
runtime.predict(image)
pages = int(Path("/proc/self/statm").read_text().split()[0])
if SPARE:
    limit = pages * resource.getpagesize() + SPARE * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    runtime._now.batch = BATCH
regions = np.zeros(runtime.image_shape[1:], dtype=np.int16)
regions[:100] = 1
coalitions = np.array([[True, False], [False, True]] * (BATCH // 2))
values = runtime.value(image[0], 0 * image[0], regions, coalitions)
print("values", values[:2].tobytes().hex(), runtime.batch)
"""


def run(spare_megabytes: int) -> tuple[str, str]:
    """Return what was said on the way, and the last line."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(MODELS / "brain_tumour_mri"), str(spare_megabytes)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    return "\n".join(said), last


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
def test_an_audit_in_too_little_memory_goes_on_in_small_batches_to_the_same_bits() -> None:
    nothing, whole = run(0)
    said, eased = run(40)
    assert nothing == ""
    assert "Failed to allocate memory for requested buffer" in said
    assert whole.split()[:2] == eased.split()[:2]
    assert 1 <= int(eased.split()[2]) < 64
