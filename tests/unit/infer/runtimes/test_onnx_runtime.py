from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from contracts.runtime import RuntimeContract, some_coalitions, some_images, some_regions
from lightbox.domain.errors import ModelPackageError
from lightbox.infer.packages import WEIGHTS, LoadedPackage
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.ports import Runtime
from networks import run
from packages import a_loaded_package


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedPackage:
    return a_loaded_package(tmp_path)


class TestOnnxRuntime(RuntimeContract):
    """On the processor, one thread."""

    @pytest.fixture(autouse=True)
    def _package(self, loaded: LoadedPackage) -> None:
        self._loaded = loaded

    def runtime(self) -> Runtime:
        return OnnxRuntime(self._loaded, device="cpu", threads=1, max_batch=8)


def test_logits_are_those_of_the_bare_file_bit_for_bit(loaded: LoadedPackage) -> None:
    images = some_images(3)
    output = OnnxRuntime(loaded, device="cpu", threads=1).predict(images)

    np.testing.assert_array_equal(output.logits, run(loaded.weights, ["logits"], image=images)[0])


def test_the_batch_is_never_larger_than_asked_for(loaded: LoadedPackage) -> None:
    assert OnnxRuntime(loaded, device="cpu", threads=1, max_batch=4).batch == 4


def test_values_of_no_coalition_are_empty(loaded: LoadedPackage) -> None:
    image, baseline = some_images(2)
    runtime = OnnxRuntime(loaded, device="cpu", threads=1)

    logits = runtime.value(image, baseline, some_regions(), some_coalitions(0))

    assert logits.shape == (0, 3)


def test_a_runtime_can_be_warmed(loaded: LoadedPackage) -> None:
    OnnxRuntime(loaded, device="cpu", threads=1).warm()


def test_auto_says_why_it_runs_on_the_processor(loaded: LoadedPackage) -> None:
    runtime = OnnxRuntime(loaded, device="auto", threads=1)

    assert (runtime.device == "cuda") == (runtime.note == "")
    if runtime.device == "cpu":
        assert runtime.note.startswith("CUDA is not used: ")


def test_without_a_gpu_auto_gives_the_processors_bits(loaded: LoadedPackage) -> None:
    auto, cpu = (OnnxRuntime(loaded, device=device, threads=1) for device in ("auto", "cpu"))
    if auto.device == "cuda":
        pytest.skip("there is a GPU")
    image, baseline = some_images(2)
    asked = (image, baseline, some_regions(), some_coalitions(20))

    assert auto.value(*asked).tobytes() == cpu.value(*asked).tobytes()
    assert auto.arithmetic == cpu.arithmetic
    assert auto.arithmetic["device"] == "cpu"


def test_memory_is_bounded_by_the_batch_not_by_how_much_is_asked(loaded: LoadedPackage) -> None:
    runtime = OnnxRuntime(loaded, device="cpu", threads=1, max_batch=8)
    image, baseline = some_images(2)
    peaks = {}
    for count in (8, 4_096):
        rows = some_coalitions(count)
        runtime.value(image, baseline, some_regions(), rows)
        tracemalloc.start()
        runtime.value(image, baseline, some_regions(), rows)
        _, peaks[count] = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    pictures = 4_096 * image.nbytes
    assert peaks[4_096] - peaks[8] < 0.1 * pictures


def test_what_decides_the_last_bits_is_said(loaded: LoadedPackage) -> None:
    said = OnnxRuntime(loaded, device="cpu", threads=1, max_batch=8).arithmetic

    assert said["engine"].startswith("onnxruntime 1.")
    assert (said["threads"], said["batch"], said["precision"]) == ("1", "8", "fp32")


def test_a_demanded_gpu_that_is_not_there_is_refused(loaded: LoadedPackage) -> None:
    if OnnxRuntime(loaded, device="auto", threads=1).device == "cuda":
        pytest.skip("there is a GPU")

    with pytest.raises(ModelPackageError, match="CUDA"):
        OnnxRuntime(loaded, device="cuda", threads=1)


def test_a_file_that_is_changed_while_the_service_runs_is_not_looked_at_again(
    loaded: LoadedPackage,
) -> None:
    runtime, images = OnnxRuntime(loaded, device="cpu", threads=1), some_images(2)
    before = runtime.predict(images)
    (loaded.folder / WEIGHTS).write_bytes(b"somebody else's")
    np.testing.assert_array_equal(runtime.predict(images).logits, before.logits)
    again = OnnxRuntime(loaded, device="cpu", threads=1)  # as after too little memory
    np.testing.assert_array_equal(again.predict(images).logits, before.logits)
