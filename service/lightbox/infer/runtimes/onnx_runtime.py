"""onnxruntime: the only file that knows it.

Two warm sessions per model: one gives logits and Grad-CAM of images, the other logits of masked
copies of one image. Batch size and thread count are fixed for the life of a session: with them the
order of additions is fixed, so a repeated audit gives the same bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

# Before its import: from then on it would note every model that is opened in the user's home and
# try to tell its maker. Nothing about a hospital's work leaves the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, ImageTensor, LabelMap
from lightbox.domain.errors import DeviceLostError, ModelPackageError, OutOfMemoryError
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.layer_graph import ACTIVATION, GRADIENT, TARGET, layer_graph
from lightbox.infer.graphs.mask_graph import (
    BASELINE,
    COALITIONS,
    IMAGE,
    REGIONS,
    mask_graph,
    with_no_region,
)
from lightbox.infer.graphs.network import LOGITS
from lightbox.infer.graphs.outline import OUTLINE
from lightbox.infer.graphs.range_graph import DISTANCE
from lightbox.infer.packages import WEIGHTS, LoadedPackage
from lightbox.ports import Output

_FATAL_ONLY = 4
_REFUSAL = "cannot be opened: "
_CPU_BATCH = 8
"""On a processor a larger batch is not faster, and the padding of a short one costs more."""
_SHARED = 4
"""Most images of several studies in one pass: what a person waits for grows with it."""
_NO_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "alloc_failed")
_LOST = (
    "an illegal memory access", "unspecified launch failure", "device-side assert",
    "misaligned address", "illegal instruction", "launch timed out", "device is lost",
    "cuda failure 700", "cuda failure 710", "cuda failure 719", "cuda failure 999",
)  # fmt: skip
"""After these every further call of the process fails: the context is gone."""


class OnnxRuntime:
    """One model, warm.

    Parameters
    ----------
    loaded : LoadedPackage
        Manifest and weights.
    device : str
        "auto" (CUDA where it works), "cpu" or "cuda".
    threads : int
        Threads of a forward pass; 0: one per core that this process may use.
    max_batch : int
        Largest batch.

    Raises
    ------
    ModelPackageError
        If the graph cannot be prepared or opened, or CUDA was demanded and does not work.

    Attributes
    ----------
    device : str
        "cpu" or "cuda": what really runs.
    note : str
        Why "auto" did not become CUDA, or "".
    target_layer : str
        Tensor that the CAM is of.
    way : str
        "closed form" or "vjp".
    batch : int
        Images of one pass of :meth:`value`.
    together : int
        Most images that give the same bits in one pass of :meth:`predict` as each alone; known
        after :meth:`warm`, 1 before.
    """

    def __init__(
        self, loaded: LoadedPackage, device: str = "auto", threads: int = 0, max_batch: int = 32
    ) -> None:
        self._thing = str(loaded.folder / WEIGHTS)
        self._threads = threads or _cores()
        self._weights, spec = loaded.weights, loaded.package.explanation
        self._spec = spec
        with_cam = cam_graph(
            loaded.weights,
            self._thing,
            spec.target_layer,
            spec.layer_layout,
            spec.method,
            loaded.known,
        )
        self.target_layer = with_cam.target_layer
        self.way = with_cam.way
        self._outputs = with_cam.outputs
        self._network, self.device, self.note = self._open_on(with_cam.data, device)
        self._layers: ort.InferenceSession | None = None
        self._masked = self._open(mask_graph(loaded.weights, self._thing), self.device)
        self._input = self._network.get_inputs()[0].name
        channels, height, width = self._network.get_inputs()[0].shape[1:]
        self.image_shape: tuple[int, int, int] = (channels, height, width)
        self.together = 1
        self.batch = min(max_batch, _CPU_BATCH) if self.device == "cpu" else max_batch

    @property
    def arithmetic(self) -> Mapping[str, str]:
        """What decides the last bits of :meth:`value`."""
        return {
            "engine": f"onnxruntime {ort.__version__}",
            "device": self.device,
            "threads": str(self._threads),
            "batch": str(self.batch),
            "precision": "fp32",
        }

    def warm(self) -> None:
        """Run both sessions once, so that the first patient does not wait for it.

        Sees, too, whether an image has the same bits in company as alone: how an engine adds may
        depend on the batch, and a result must not depend on who came with it.

        Raises
        ------
        OutOfMemoryError
            If the device has too little memory for it.
        """
        drawn = np.random.default_rng(0).random((_SHARED, *self.image_shape))
        images = drawn.astype(np.float32)
        alone = [self.predict(images[i : i + 1]) for i in range(_SHARED)]
        with suppress(OutOfMemoryError):  # then fewer share one
            for together in range(2, _SHARED + 1):
                shared = self.predict(images[:together])
                if not all(_is_row(alone[i], shared, i) for i in range(together)):
                    break
                self.together = together
        regions = np.zeros(self.image_shape[1:], dtype=np.int16)
        self.value(images[0], images[0], regions, np.ones((1, 1), dtype=np.bool_))

    def predict(self, images: ImageTensor) -> Output:
        """Run images, shape (B, C, H, W): logits (B, classes) and Grad-CAM (B, h, w).

        A segmentation network's outline (B, h', w') comes out of the same pass, and the distance
        (B,) from what the network knows.

        Raises
        ------
        OutOfMemoryError
            If the device has too little memory for so many.
        DeviceLostError
            If the device answers no more.
        """
        found = self._run(self._network, self._outputs, {self._input: images})
        named = dict(zip(self._outputs, found, strict=True))
        return Output(
            named[LOGITS],
            named[CAM],
            outline=named.get(OUTLINE),
            distance=named.get(DISTANCE),
        )

    def layers(self, images: ImageTensor, targets: Sequence[int] = ()) -> Output:
        """Run images; give logits, the target layer and the gradient of one class's logit too.

        A third session, opened when it is first asked for: the fast path does not need it.

        Raises
        ------
        OutOfMemoryError, DeviceLostError
            As :meth:`predict`.
        """
        if self._layers is None:
            spec = self._spec
            made = layer_graph(self._weights, self._thing, spec.target_layer, spec.layer_layout)
            self._layers = self._open(made.data, self.device)
        asked = np.array(targets or [-1] * len(images), dtype=np.int64)
        logits, activation, gradient = self._run(
            self._layers, [LOGITS, ACTIVATION, GRADIENT], {self._input: images, TARGET: asked}
        )
        return Output(logits, None, activation, gradient, tuple(targets))

    def value(
        self,
        image: FloatMap,
        baseline: FloatMap,
        regions: LabelMap,
        coalitions: CoalitionMatrix,
    ) -> FloatMap:
        """Return logits, shape (n_coalitions, classes), of masked images.

        Always runs full batches (the last one is padded), so a coalition's logits do not depend on
        how many were asked for with it. Pixels of no region (-1) always show the image.

        Raises
        ------
        OutOfMemoryError, DeviceLostError
            As :meth:`predict`.
        """
        fixed = {
            IMAGE: np.ascontiguousarray(image, dtype=np.float32)[None],
            BASELINE: np.ascontiguousarray(baseline, dtype=np.float32),
            REGIONS: np.ascontiguousarray(regions, dtype=np.int64),
        }
        asked = len(coalitions)
        padded = -(-max(asked, 1) // self.batch) * self.batch
        bits = np.ones((padded, coalitions.shape[1] + 1), dtype=np.bool_)
        bits[:asked] = with_no_region(coalitions)
        parts = [
            self._run(
                self._masked, [LOGITS], {**fixed, COALITIONS: bits[first : first + self.batch]}
            )[0]
            for first in range(0, padded, self.batch)
        ]
        logits: FloatMap = np.concatenate(parts)[:asked]
        return logits

    def bare(self, weights: bytes) -> Callable[[ImageTensor], FloatMap]:
        """Open a graph as it came, with our options: what benchmarks compare with.

        Returns
        -------
        callable
            Images, shape (B, C, H, W), to logits (B, classes).
        """
        answers = self.opened(weights)
        return lambda images: next(iter(answers(images).values()))

    def opened(self, weights: bytes) -> Callable[[ImageTensor], dict[str, FloatMap]]:
        """Open a graph as it came, with our options.

        Returns
        -------
        callable
            Images, shape (B, C, H, W), to every output of the graph by its name.
        """
        session = self._open(weights, self.device)
        name = session.get_inputs()[0].name
        outputs = [each.name for each in session.get_outputs()]

        def forward(images: ImageTensor) -> dict[str, FloatMap]:
            return dict(zip(outputs, session.run(None, {name: images}), strict=True))

        return forward

    def _run(
        self, session: ort.InferenceSession, outputs: Sequence[str], feeds: Mapping[str, object]
    ) -> list[Any]:  # arrays, as the engine types them
        try:
            return list(session.run(list(outputs), dict(feeds)))
        except Exception as error:  # onnxruntime raises a dozen types of its own
            text = str(error).lower()
            if any(words in text for words in _LOST):
                raise DeviceLostError(f"{self.device}: {_first_line(error)}") from error
            if isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY):
                raise OutOfMemoryError(
                    f"{self.device} memory",
                    f"is not enough for the network: {_first_line(error)}",
                    "see what else runs there, or set [worker] max_batch lower",
                ) from error
            raise

    def _open_on(self, data: bytes, device: str) -> tuple[ort.InferenceSession, str, str]:
        if device == "cpu":
            return self._open(data, "cpu"), "cpu", ""
        try:
            session = self._open(data, "cuda")
        except ModelPackageError as error:
            if device == "cuda":
                raise
            return (
                self._open(data, "cpu"),
                "cpu",
                f"CUDA is not used: {error.reason.removeprefix(_REFUSAL)}",
            )
        return session, "cuda", ""

    def _open(self, data: bytes, device: str) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _FATAL_ONLY
        options.use_deterministic_compute = True
        # Threads that spin between two runs steal the core from decoding and encoding. Told to stop
        # at the end of a run (session.force_spinning_stop), they make one image faster by a tenth,
        # and eight of an audit slower by a third where anything else computes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        ort.set_default_logger_severity(
            _FATAL_ONLY
        )  # what fails is raised; the log would repeat it
        try:
            session = ort.InferenceSession(data, options, providers=_providers(device))
        except Exception as error:  # onnxruntime raises a dozen types of its own
            raise self._refused(str(error)) from error
        if device == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
            raise self._refused("onnxruntime could not start its CUDA provider (no usable GPU)")
        return session

    def _refused(self, reason: str) -> ModelPackageError:
        first = reason.strip().splitlines()[0]
        return ModelPackageError(
            self._thing, _REFUSAL + first, "export it again; run `lightbox doctor`"
        )


def _is_row(alone: Output, shared: Output, row: int) -> bool:
    """Say whether an image's answer is the same in company, bit for bit."""
    one = shared.row(row)
    pairs = (
        (alone.logits, one.logits),
        (alone.cam, one.cam),
        (alone.outline, one.outline),
        (alone.distance, one.distance),
    )
    return all(
        np.array_equal(left, right)
        for left, right in pairs
        if left is not None and right is not None
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _cores() -> int:
    """Return the cores that we may use: affinity, and the quota of a container (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))  # "max" is no number: no quota
    return max(1, cores)


_Provider = str | tuple[str, dict[str, str]]


def _providers(device: str) -> list[_Provider]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    exact = {
        "use_tf32": "0",  # ten bits of mantissa would move the map
        "cudnn_conv_algo_search": "HEURISTIC",  # a timed search would choose anew at each start
    }
    return [("CUDAExecutionProvider", exact), "CPUExecutionProvider"]
