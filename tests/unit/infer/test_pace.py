from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from lightbox.infer.pace import Paces, chosen
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage


class Timed:
    """A runtime that takes so many seconds for an image, on a clock that it moves itself."""

    device = "cpu"
    image_shape = (1, 8, 8)

    def __init__(self, clock: FakeClock, seconds: float, batch: int = 8) -> None:
        self.batch = batch
        self.calls = 0
        self._clock = clock
        self._seconds = seconds

    def value(self, image, baseline, regions, coalitions) -> np.ndarray:  # type: ignore[no-untyped-def]  # arrays
        self.calls += 1
        self._clock.advance(self._seconds * len(coalitions))
        return np.zeros((len(coalitions), 2), dtype=np.float32)


def paces(root: Path, clock: FakeClock) -> Paces:
    return Paces(FolderStorage(root, Files()), clock)


@pytest.mark.parametrize(
    ("seconds", "chunk"), [(0.001, 64), (0.003, 32), (0.0078, 16), (0.01, 8), (0.05, 8)]
)
def test_as_many_whole_batches_as_fit_half_of_the_bound_and_one_at_least(
    tmp_path: Path, seconds: float, chunk: int
) -> None:
    clock = FakeClock()
    pace = paces(tmp_path, clock).of(Timed(clock, seconds), "ab", 0.25)
    assert pace.chunk == chunk
    assert pace.seconds == pytest.approx(chunk * seconds)
    assert pace.holds is (chunk * seconds <= 0.25)


@pytest.mark.parametrize(("seconds", "fits"), [(0.05, 5), (0.08, 3), (0.3, 1)])
def test_of_a_slow_network_it_says_which_batch_would_keep_the_bound(
    tmp_path: Path, seconds: float, fits: int
) -> None:
    clock = FakeClock()
    pace = paces(tmp_path, clock).of(Timed(clock, seconds), "ab", 0.25)
    assert not pace.holds
    assert pace.batch_that_holds == fits
    smaller = Timed(clock, seconds, batch=pace.batch_that_holds)
    assert paces(tmp_path, clock).of(smaller, "ab", 0.25).holds is (seconds <= 0.25)


def test_what_was_measured_is_remembered_for_this_device_model_batch_and_bound(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    first = Timed(clock, 0.01)
    pace = paces(tmp_path, clock).of(first, "ab", 0.25)
    again = Timed(clock, 0.01)
    assert paces(tmp_path, clock).of(again, "ab", 0.25) == pace
    assert first.calls > again.calls == 3  # tried, not measured
    for runtime, model, bound in (
        (Timed(clock, 0.01), "cd", 0.25),
        (Timed(clock, 0.01, batch=4), "ab", 0.25),
        (Timed(clock, 0.01), "ab", 0.1),
    ):
        paces(tmp_path, clock).of(runtime, model, bound)
        assert runtime.calls > 0


@pytest.mark.parametrize(("then", "now"), [(0.01, 0.003), (0.003, 0.01)])
def test_a_table_that_is_not_true_is_measured_anew_and_replaced(
    tmp_path: Path, then: float, now: float
) -> None:
    """Measured on a busy machine, or on one that was given less since: the next start mends it."""
    clock = FakeClock()
    wrong = paces(tmp_path, clock).of(Timed(clock, then), "ab", 0.25)
    right = paces(tmp_path, clock).of(Timed(clock, now), "ab", 0.25)
    assert right.chunk != wrong.chunk
    assert right.seconds * 2 <= 0.25
    again = Timed(clock, now)
    assert paces(tmp_path, clock).of(again, "ab", 0.25) == right
    assert again.calls == 3


def test_a_table_that_is_nearly_true_is_kept(tmp_path: Path) -> None:
    clock = FakeClock()
    first = paces(tmp_path, clock).of(Timed(clock, 0.003), "ab", 0.25)
    assert paces(tmp_path, clock).of(Timed(clock, 0.004), "ab", 0.25) == first


def test_a_bound_that_does_not_hold_is_measured_again_at_the_next_start(tmp_path: Path) -> None:
    clock = FakeClock()
    assert not paces(tmp_path, clock).of(Timed(clock, 0.05), "ab", 0.25).holds
    assert paces(tmp_path, clock).of(Timed(clock, 0.01), "ab", 0.25).holds


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_table_that_cannot_be_read_is_measured_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "chunks.json").write_text(text)
    clock = FakeClock()
    runtime = Timed(clock, 0.01)
    paces(tmp_path, clock).of(runtime, "ab", 0.25)
    assert runtime.calls > 0
    assert json.loads((tmp_path / "chunks.json").read_text())


@given(
    table=st.dictionaries(st.sampled_from(["1", "2", "4", "8"]), st.floats(0.001, 2.0), min_size=1),
    bound=st.floats(0.01, 1.0),
)
def test_the_chosen_chunk_fits_or_is_the_smallest(table: dict[str, float], bound: float) -> None:
    pace = chosen(table, 8, bound)
    assert pace.chunk % 8 == 0
    fits = [int(k) for k, seconds in table.items() if 2 * seconds <= bound]
    assert pace.chunk == 8 * (max(fits) if fits else min(map(int, table)))
