"""Too little memory, step by step: the engine's own errors at the engine's own call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from contracts.runtime import RuntimeContract, some_coalitions, some_images, some_regions
from fakes.clock import FakeClock
from lightbox.domain.errors import DeviceLostError, OutOfMemoryError
from lightbox.infer.graphs.mask_graph import COALITIONS
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.runtimes.eased import AGAIN_AFTER, EasedRuntime
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.ports import Runtime
from packages import a_loaded_package

ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv "
    "node. Name:'/features/conv0/Conv' Status Message: /onnxruntime_src/onnxruntime/core/framework/"
    "bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, "
    "onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 411041792"
)
CUDA = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; hostname=ct ; "
    "file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=47 ; "
    "expr=cudaMalloc((void**)&p, size);"
)
STICKY = (
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 710: device-side assert triggered ; GPU=0 ; "
    "hostname=ct ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc ; line=129 ; "
    "expr=cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));"
)


class Bench:
    """A runtime on a "GPU" whose memory a test can fill; the processor is the real one.

    Attributes
    ----------
    fits : int
        Most images of one pass that the device has room for.
    """

    def __init__(self, loaded: LoadedPackage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.fits = {"cuda": 99, "cpu": 99}
        self.told = 0
        self.text = ARENA
        self._loaded = loaded
        self._device: dict[ort.InferenceSession, str] = {}
        real = ort.InferenceSession.run

        def run(
            session: ort.InferenceSession, outputs: object, feeds: dict[str, np.ndarray]
        ) -> object:
            images = len(feeds[COALITIONS] if COALITIONS in feeds else next(iter(feeds.values())))
            if images > self.fits[self._device.get(session, "cpu")]:
                raise ort.capi.onnxruntime_pybind11_state.RuntimeException(self.text)
            return real(session, outputs, feeds)

        monkeypatch.setattr(ort.InferenceSession, "run", run)
        self.runtime = EasedRuntime(self._open, self.clock, self._noticed)

    def _open(self, device: str) -> OnnxRuntime:
        opened = OnnxRuntime(self._loaded, device="cpu", threads=1, max_batch=8)
        if not device:
            opened.device = "cuda"
            self._device[opened._network] = self._device[opened._masked] = "cuda"
        return opened

    def _noticed(self, _: str) -> None:
        self.told += 1


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedPackage:
    return a_loaded_package(tmp_path)


@pytest.fixture
def bench(loaded: LoadedPackage, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(loaded, monkeypatch)


class TestEasedRuntime(RuntimeContract):
    """It keeps what every runtime keeps."""

    @pytest.fixture(autouse=True)
    def _package(self, loaded: LoadedPackage) -> None:
        self._loaded = loaded

    def runtime(self) -> Runtime:
        def opened(_: str) -> OnnxRuntime:
            return OnnxRuntime(self._loaded, device="cpu", threads=1, max_batch=8)

        return EasedRuntime(opened, FakeClock(), lambda _: None)


def an_audit(runtime: Runtime) -> np.ndarray:
    image, baseline = some_images(2, seed=4)
    return runtime.value(image, baseline, some_regions(), some_coalitions(20))


@pytest.mark.parametrize("text", [ARENA, CUDA])
def test_an_audit_that_does_not_fit_goes_on_with_a_smaller_batch_and_the_same_values(
    bench: Bench, text: str
) -> None:
    whole = an_audit(bench.runtime)
    bench.fits["cuda"], bench.text = 3, text
    np.testing.assert_array_equal(an_audit(bench.runtime), whole)
    assert (bench.runtime.device, bench.runtime.batch) == ("cuda", 2)
    assert str(bench.runtime.ease).startswith("runs on cuda, 2 at a time: is not enough")
    assert bench.told == 2


def test_a_series_that_does_not_fit_is_predicted_in_parts(bench: Bench) -> None:
    whole = bench.runtime.predict(some_images(8))
    bench.fits["cuda"] = 3
    parts = bench.runtime.predict(some_images(8))
    np.testing.assert_array_equal(parts.logits, whole.logits)
    np.testing.assert_array_equal(parts.cam, whole.cam)


def test_where_not_one_image_fits_the_processor_takes_over(bench: Bench) -> None:
    whole = bench.runtime.predict(some_images(1))
    bench.fits["cuda"] = 0
    np.testing.assert_array_equal(bench.runtime.predict(some_images(1)).logits, whole.logits)
    assert bench.runtime.device == "cpu"
    assert bench.runtime.batch == 8


def test_where_nothing_helps_the_caller_is_told_and_may_come_back(bench: Bench) -> None:
    bench.fits = {"cuda": 0, "cpu": 0}
    with pytest.raises(OutOfMemoryError, match="max_batch lower"):
        an_audit(bench.runtime)
    bench.fits["cpu"] = 99
    an_audit(bench.runtime)


def test_after_a_while_the_device_is_tried_again_with_its_full_batch(bench: Bench) -> None:
    bench.fits["cuda"] = 0
    an_audit(bench.runtime)
    bench.fits["cuda"] = 99
    bench.clock.advance(AGAIN_AFTER - 1)
    an_audit(bench.runtime)
    assert bench.runtime.device == "cpu"
    bench.clock.advance(2)
    an_audit(bench.runtime)
    assert (bench.runtime.device, bench.runtime.batch) == ("cuda", 8)
    assert bench.runtime.ease is None


def test_a_device_that_stays_full_is_tried_less_and_less_often(bench: Bench) -> None:
    bench.fits["cuda"] = 0
    tries = []
    for second in range(1000):
        bench.clock.advance(1)
        told = bench.told
        an_audit(bench.runtime)
        if bench.told > told:
            tries.append(second)
    assert 2 <= len(tries) <= 5
    gaps = np.diff(tries)
    assert (np.diff(gaps) > 0).all()


def test_a_device_that_is_lost_is_not_asked_again(bench: Bench) -> None:
    bench.fits["cuda"], bench.text = 0, STICKY
    with pytest.raises(DeviceLostError, match="device-side assert"):
        bench.runtime.predict(some_images(1))
    assert bench.runtime.ease is None


def test_other_errors_of_the_engine_are_passed_on(bench: Bench) -> None:
    bench.fits["cuda"], bench.text = 0, "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid"
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.RuntimeException, match="Got invalid"):
        bench.runtime.predict(some_images(1))


def test_the_network_can_be_opened_and_warmed_where_only_one_image_fits(bench: Bench) -> None:
    bench.fits["cuda"] = 1
    bench.runtime.warm()
    assert (bench.runtime.device, bench.runtime.together) == ("cuda", 1)


def test_images_may_share_a_pass_where_that_changes_no_bit(loaded: LoadedPackage) -> None:
    runtime = OnnxRuntime(loaded, device="cpu", threads=1)
    assert runtime.together == 1
    runtime.warm()
    images = some_images(runtime.together)
    shared = runtime.predict(images)
    for i in range(runtime.together):
        np.testing.assert_array_equal(
            runtime.predict(images[i : i + 1]).logits[0], shared.logits[i]
        )
