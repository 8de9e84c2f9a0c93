"""Images that want the device together share a pass; one that is alone waits for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from contracts.runtime import SIDE, some_images
from fakes.arithmetic_runtime import ArithmeticRuntime
from fakes.clock import FakeClock
from lightbox.domain.errors import OutOfMemoryError
from lightbox.domain.urgency import Urgency
from lightbox.infer.sharing import Passes
from lightbox.ports import Output
from lightbox.schedule.gate import Gate

PATIENCE = 10.0
WEIGHTS = np.linspace(-1.0, 2.0, SIDE * SIDE).reshape(SIDE, SIDE)


class Bench:
    """Threads that want one image each run behind a gate that somebody holds."""

    def __init__(self, runtime: ArithmeticRuntime) -> None:
        self.clock = FakeClock()
        self.gate = Gate(0.1, self.clock)
        self.sizes: list[int] = []
        self.passes = Passes(runtime, self.clock, self.sizes.append)
        self.outputs: dict[str, Output] = {}
        self.errors: dict[str, Exception] = {}
        self._threads: list[threading.Thread] = []

    def wants(self, name: str, image: np.ndarray, urgency: Urgency = Urgency.STAT) -> None:
        @contextmanager
        def turn() -> Iterator[None]:
            with self.gate.turn(urgency):
                yield

        def run() -> None:
            try:
                self.outputs[name], _ = self.passes.predict(image, urgency, turn)
            except OutOfMemoryError as error:
                self.errors[name] = error

        before = len(self.gate.waiting())
        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        pause = threading.Event()
        for _ in range(2000):
            if len(self.gate.waiting()) > before:
                return
            pause.wait(0.005)
        raise AssertionError("it does not wait")

    def done(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def bench() -> Bench:
    return Bench(ArithmeticRuntime(WEIGHTS))


def test_images_that_wait_for_the_device_share_a_pass_and_get_what_each_gets_alone(
    bench: Bench,
) -> None:
    images = some_images(3)
    with bench.gate.turn(Urgency.AUDIT):
        for i in range(3):
            bench.wants(str(i), images[i : i + 1])
    bench.done()
    assert bench.sizes == [3]
    for i in range(3):
        alone = ArithmeticRuntime(WEIGHTS).predict(images[i : i + 1])
        np.testing.assert_array_equal(bench.outputs[str(i)].logits, alone.logits)
        np.testing.assert_array_equal(bench.outputs[str(i)].cam, alone.cam)


def test_one_alone_runs_at_once(bench: Bench) -> None:
    with bench.gate.turn(Urgency.AUDIT):
        bench.wants("alone", some_images(1))
    bench.done()
    assert bench.sizes == [1]


def test_an_emergency_takes_nobody_along_who_is_less_urgent(bench: Bench) -> None:
    images = some_images(3)
    with bench.gate.turn(Urgency.AUDIT):
        bench.wants("routine", images[:1], Urgency.ROUTINE)
        bench.wants("stat", images[1:2], Urgency.STAT)
        bench.wants("routine too", images[2:], Urgency.ROUTINE)
    bench.done()
    assert bench.sizes == [1, 2]


def test_no_more_share_a_pass_than_keep_their_bits(bench: Bench) -> None:
    images = some_images(6)
    with bench.gate.turn(Urgency.AUDIT):
        for i in range(6):
            bench.wants(str(i), images[i : i + 1])
    bench.done()
    assert bench.sizes == [4, 2]


def test_where_company_changes_bits_each_runs_alone() -> None:
    runtime = ArithmeticRuntime(WEIGHTS)
    runtime.together = 1
    bench = Bench(runtime)
    with bench.gate.turn(Urgency.AUDIT):
        for i in range(2):
            bench.wants(str(i), some_images(2)[i : i + 1])
    bench.done()
    assert bench.sizes == [1, 1]


def test_the_slices_of_a_series_run_as_they_are(bench: Bench) -> None:
    images = some_images(6)
    with bench.gate.turn(Urgency.AUDIT):
        bench.wants("one", images[:1])
        bench.wants("series", images[1:])
    bench.done()
    assert sorted(bench.sizes) == [1, 5]
    assert len(bench.outputs["series"].logits) == 5


class TooSmall(ArithmeticRuntime):
    """Has room for one image only."""

    def predict(self, images: np.ndarray) -> Output:
        if len(images) > 1:
            raise OutOfMemoryError("memory", "is not enough")
        return super().predict(images)


def test_a_pass_that_fails_in_company_is_tried_alone() -> None:
    bench = Bench(TooSmall(WEIGHTS))
    with bench.gate.turn(Urgency.AUDIT):
        for i in range(3):
            bench.wants(str(i), some_images(3)[i : i + 1])
    bench.done()
    assert bench.sizes == [1, 1, 1]
    assert not bench.errors
    assert len(bench.outputs) == 3
