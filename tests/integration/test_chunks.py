"""Whatever the chunk, and whoever came in between: an audit ends with the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.runtime import SIDE, some_images
from fakes.clock import FakeClock
from lightbox.domain.attribution import Estimate
from lightbox.explain.game import ImageGame, Masking, Question
from lightbox.explain.methods.shapley import METHOD
from lightbox.explain.plugin import Budget
from lightbox.infer.runtimes.eased import EasedRuntime
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.ports import Runtime
from packages import a_loaded_package


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntime:
    loaded = a_loaded_package(tmp_path_factory.mktemp("models"))
    return OnnxRuntime(loaded, device="cpu", threads=2)


def audited(runtime: Runtime, rows: int, chunk: int, values: Path | None = None) -> Estimate:
    image, baseline = some_images(2, seed=rows)
    cells = np.arange(SIDE) * rows // SIDE
    regions = (cells[:, None] * rows + cells[None]).astype(np.int16)
    game = ImageGame(
        runtime,
        Masking(image, baseline, regions),
        Question(target=1, link="log_odds", temperature=1.3, model_sha256="ab"),
        values,
    )
    budget = Budget(chunk=chunk, tolerance=0.05, max_evaluations=1500)
    return list(METHOD.explainer(budget).refine(game))[-1]


@pytest.mark.parametrize(("rows", "is_exact"), [(3, True), (4, False)])
def test_the_values_do_not_depend_on_the_chunk(
    runtime: OnnxRuntime, rows: int, is_exact: bool
) -> None:
    first, *others = (audited(runtime, rows, chunk) for chunk in (8, 16, 24, 256, 1_000_000))
    assert first.exact is is_exact
    assert first.values is not None
    for other in others:
        assert other.values is not None
        assert other.values.tobytes() == first.values.tobytes()
        assert other.evaluations == first.evaluations


def test_the_values_do_not_depend_on_what_was_remembered_of_an_earlier_run(
    runtime: OnnxRuntime, tmp_path: Path
) -> None:
    whole = audited(runtime, 4, 16)
    image_file = tmp_path / "values"
    audited(runtime, 4, 8, image_file)
    cut = image_file.read_bytes()
    image_file.write_bytes(cut[: len(cut) // 3])  # as kill -9 leaves it
    resumed = audited(runtime, 4, 32, image_file)
    assert whole.values is not None
    assert resumed.values is not None
    assert resumed.values.tobytes() == whole.values.tobytes()


def test_a_network_that_makes_do_with_half_a_batch_gives_the_same_bits_here(
    runtime: OnnxRuntime, tmp_path: Path
) -> None:
    """On this processor; where it is not so, the batch stands in the result and replay says it."""
    whole = audited(runtime, 4, 16)
    eased = EasedRuntime(lambda _: runtime, FakeClock(), lambda _: None)
    runtime.batch //= 2
    try:
        assert audited(eased, 4, 16).values.tobytes() == whole.values.tobytes()  # type: ignore[union-attr]  # values of the last
    finally:
        runtime.batch *= 2
