"""onnxruntime notes the models that it opens and reports them; ours must not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from networks import a_pooled_classifier

SCRIPT = """
import sys
import lightbox.infer.runtimes.onnx_runtime as door
door.ort.InferenceSession(open(sys.argv[1], "rb").read(), providers=["CPUExecutionProvider"])
"""


def test_opening_a_model_leaves_no_trace_in_the_users_home(tmp_path: Path) -> None:
    home, model = tmp_path / "home", tmp_path / "model.onnx"
    home.mkdir()
    model.write_bytes(a_pooled_classifier())
    environ = {
        k: v for k, v in os.environ.items() if k not in {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model)],
        env={**environ, "HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*"))
