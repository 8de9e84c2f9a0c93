from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.explainer import TableGame, shapley_by_definition
from explained_builders import a_package
from fakes.arithmetic_runtime import ArithmeticRuntime
from fakes.clock import FakeClock
from lightbox.domain.arrays import FloatMap, PlayerValues
from lightbox.domain.attribution import Attribution, AttributionRecord, Estimate
from lightbox.domain.errors import ExplanationError
from lightbox.domain.frame import Frame
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.model_package import Explanation, Preprocessing
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.domain.quality import Block
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.further import rival_of
from lightbox.explain.measures import METRICS, in_blocks
from lightbox.explain.methods import grad_cam, occlusion, shapley, shapley_exact
from lightbox.explain.subject import Subject
from lightbox.ports import Output
from lightbox.settings import AuditSettings

METHODS = {m.METHOD.card.name: m.METHOD for m in (grad_cam, shapley, shapley_exact, occlusion)}
SIZE = (12, 12)


def a_subject(source: tuple[int, int] = (24, 20), **changes: object) -> Subject:
    explanation = {"grid": (2, 2), "baseline": "zero", "second_baseline": "", **changes}
    package = a_package(
        preprocessing=Preprocessing(size=SIZE),
        explanation=Explanation.model_validate(explanation),
    )
    ref = FrameRef("1.2.3")
    tensor = np.ones((1, 1, *SIZE), np.float32)
    frame = Frame(
        ref, tensor, np.zeros(source, np.uint8), FrameGeometry.pad(source, SIZE), (0.5, 0.5)
    )
    prediction = Prediction(
        model=package.name,
        version=package.version,
        model_sha256=package.sha256,
        finding="meningioma",
        confidence=0.9,
        scores={},
        target=1,
        key_frame=ref,
    )
    return Subject(package, frame, prediction)


def quarters(
    upper_left: float, upper_right: float, lower_left: float, lower_right: float
) -> FloatMap:
    """Weights of the input, constant in each quarter."""
    corner = np.array([[upper_left, upper_right], [lower_left, lower_right]], float)
    return np.kron(corner, np.ones((6, 6)))


def a_door(clock: FakeClock | None = None) -> Attribute:
    return Attribute(METHODS, AuditSettings(), clock or FakeClock())


def driven(
    steps: Generator[Estimate, None, Attribution], pause: Callable[[], None] = lambda: None
) -> tuple[list[Estimate], Attribution]:
    """Drive a generator to its end: what it yielded, what it returned."""
    yielded = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            found: Attribution = end.value
            return yielded, found
        pause()


def audited(
    subject: Subject,
    runtime: ArithmeticRuntime,
    fast: Attribution | None = None,
    *,
    method: str = "shapley_exact",
    chunk: int = 4,
) -> tuple[list[Estimate], Attribution]:
    return driven(a_door().audit(subject, runtime, fast, AuditPlan(method, chunk)))


def values_of(attribution: Attribution) -> PlayerValues:
    assert attribution.estimate.values is not None
    return attribution.estimate.values


def test_the_fast_map_lies_in_the_source_where_the_network_looked() -> None:
    subject = a_subject()
    runtime = ArithmeticRuntime(quarters(0, 40, 0, 0))
    found = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    assert found.source_map.shape == (24, 20)
    assert found.source_map[:11, 11:].min() > 0
    assert found.source_map[13:].max() == found.source_map[:, :9].max() == 0
    assert found.cell_pixels == (2.0, 2.0)
    assert (found.method, found.target, found.parameters["cells"]) == ("grad_cam", 1, "12x12")


@pytest.mark.parametrize("source", [(31, 17), (13, 40), (24, 24)])
@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("column", [0, -1])
def test_a_hot_corner_stays_in_its_corner(source: tuple[int, int], row: int, column: int) -> None:
    subject = a_subject(source)
    players = subject.frame.geometry.labels_to_source(np.arange(144, dtype=np.int16).reshape(SIZE))
    cells = np.zeros((1, *SIZE), np.float32)
    cells[0].flat[players[row, column]] = 1.0
    found = a_door().fast(subject, Output(np.array([[0.0, 1.0]], np.float32), cells))
    hottest = np.unravel_index(found.source_map.argmax(), source)
    corner = (row % source[0], column % source[1])
    far = np.abs(np.subtract(hottest, corner))
    assert (far <= found.cell_pixels).all()
    assert found.source_map[row, column] > 0.5


def test_the_fast_map_brings_its_quality() -> None:
    subject = a_subject()
    runtime = ArithmeticRuntime(quarters(0, 40, 0, 0))
    quality = a_door().fast(subject, runtime.predict(subject.frame.tensor)).quality
    assert set(quality) == {"entropy", "sparseness", "border_mass"}
    assert quality["sparseness"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (np.full((1, 3, 3), np.nan), "9 of 9 values are not finite"),
        (np.zeros((1, 3, 3)), "empty"),
        (np.full((1, 3, 3), 2.0), "constant"),
    ],
)
def test_a_map_that_says_nothing_is_refused_with_the_reason(cells: FloatMap, reason: str) -> None:
    output = Output(np.array([[0.0, 1.0]], np.float32), cells.astype(np.float32))
    with pytest.raises(ExplanationError, match=reason):
        a_door().fast(a_subject(), output)


def test_the_map_of_another_class_is_not_passed_off_as_the_predicted_ones() -> None:
    output = Output(np.array([[3.0, 1.0]], np.float32), np.eye(3, dtype=np.float32)[None])
    with pytest.raises(ExplanationError, match="winning output 0 only"):
        a_door().fast(a_subject(), output)


def test_a_method_of_the_other_path_is_refused_with_the_names_of_this_one() -> None:
    output = Output(np.array([[0.0, 1.0]], np.float32), np.eye(3, dtype=np.float32)[None])
    with pytest.raises(ExplanationError, match="grad_cam"):
        a_door().fast(a_subject(), output, "occlusion")
    with pytest.raises(ExplanationError, match="occlusion"):
        audited(a_subject(), ArithmeticRuntime(quarters(1, 2, 3, 4)), method="grad_cam")


def test_an_audit_gives_each_region_its_shapley_value() -> None:
    weights = quarters(8, -3, 0, 5)
    _, found = audited(a_subject(), ArithmeticRuntime(weights))
    score = np.array([sum(w for i, w in enumerate((8, -3, 0, 5)) if s >> i & 1) for s in range(16)])
    truth = TableGame(1 / (1 + np.exp(-score / 4)))
    assert found.estimate.exact
    assert found.estimate.values == pytest.approx(shapley_by_definition(truth), abs=1e-6)
    assert found.v_empty == pytest.approx(0.5)
    assert found.v_full == pytest.approx(truth.table[-1], abs=1e-6)
    assert abs(found.completeness_residual) < 1e-12
    assert found.occlusion is not None
    expected = [truth.table[-1] - truth.table[15 - 2**i] for i in range(4)]
    assert found.occlusion == pytest.approx(expected, abs=1e-6)


def scored(subject: Subject, scores: dict[str, float]) -> Subject:
    return replace(subject, prediction=replace(subject.prediction, scores=scores))


def test_what_decided_against_the_runner_up_is_said_beside() -> None:
    subject = scored(a_subject(), {"glioma": 0.1, "meningioma": 0.9, "normal": 0.0})
    runtime = ArithmeticRuntime(quarters(8, -3, 0, 5))
    _, found = audited(subject, runtime)
    assert found.contrast is not None
    assert found.contrast.rival == 0
    # Of two classes the difference is 2 p - 1.
    assert found.contrast.values == pytest.approx(2 * values_of(found), abs=1e-12)
    assert found.contrast.v_full - found.contrast.v_empty == pytest.approx(
        found.contrast.values.sum(), abs=1e-12
    )
    assert sum(runtime.batches) == 16
    record = AttributionRecord.of(found)
    assert (record.rival, record.contrast) == (0, tuple(found.contrast.values.tolist()))


def test_the_runner_up_is_the_most_probable_of_the_others_or_nobody() -> None:
    scores = {"glioma": 0.2, "meningioma": 0.1, "normal": 0.7}
    subject = scored(a_subject(), scores)
    assert rival_of(subject.package, subject.prediction) == 2
    assert rival_of(subject.package, scored(subject, {}).prediction) == -1
    _, found = audited(scored(subject, {}), ArithmeticRuntime(quarters(8, -3, 0, 5)))
    assert found.contrast is None


def test_interactions_of_pairs_are_found_where_they_are_asked_for() -> None:
    door = Attribute(METHODS, AuditSettings(interactions=True), FakeClock())
    runtime = ArithmeticRuntime(quarters(8, -3, 0, 5))
    plan = AuditPlan("shapley", 16)
    _, found = driven(door.audit(a_subject(), runtime, None, plan))
    assert found.interactions is not None
    assert found.interactions.values[2].tolist() == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert found.interactions.values[0, 3] < -0.01  # the logistic function saturates
    assert found.parameters["interactions"] == "pairs"
    assert len(AttributionRecord.of(found).interactions) == 6
    assert sum(runtime.batches) == 16


def test_interactions_of_many_regions_cost_more_evaluations_and_are_estimated() -> None:
    settings = AuditSettings(interactions=True, max_evaluations=2_000, tolerance=0.05)
    weights = np.random.default_rng(0).normal(0, 4, SIZE)
    runtime = ArithmeticRuntime(weights)
    door = Attribute(METHODS, settings, FakeClock())
    subject = a_subject(source=(24, 24), grid=(4, 4))
    _, found = driven(door.audit(subject, runtime, None, AuditPlan("shapley", 64)))
    assert not found.estimate.exact
    assert found.interactions is not None
    assert (found.interactions.standard_errors[np.triu_indices(16, 1)] > 0).all()
    assert 2 * 2 * 121 < found.estimate.evaluations < 2_000
    few = settings.model_copy(update={"max_evaluations": 400})
    with pytest.raises(ExplanationError, match=r"interactions of 16 regions.*486 evaluations"):
        driven(
            Attribute(METHODS, few, FakeClock()).audit(
                subject, runtime, None, AuditPlan("shapley", 64)
            )
        )


def test_a_result_says_what_decided_its_last_bits() -> None:
    _, found = audited(a_subject(), ArithmeticRuntime(quarters(8, -3, 0, 5)))
    assert found.arithmetic["engine"] == "a formula"
    _, again = audited(a_subject(), ArithmeticRuntime(quarters(1, 2, 3, 4)))
    assert found.arithmetic["coalitions"] == again.arithmetic["coalitions"]
    assert AttributionRecord.of(found).arithmetic == found.arithmetic


def test_log_odds_of_a_linear_network_are_shared_out_exactly() -> None:
    subject = a_subject(link="log_odds")
    _, found = audited(subject, ArithmeticRuntime(quarters(8, -4, 0, 6)))
    assert found.estimate.values == pytest.approx([2.0, -1.0, 0.0, 1.5], abs=1e-6)
    assert found.link == "log_odds"


def test_the_temperature_divides_the_logits() -> None:
    subject = a_subject(link="log_odds")
    calibration = subject.package.calibration.model_copy(update={"temperature": 0.5})
    package = subject.package.model_copy(update={"calibration": calibration})
    _, found = audited(replace(subject, package=package), ArithmeticRuntime(quarters(8, 0, 0, 0)))
    assert found.estimate.values == pytest.approx([4.0, 0.0, 0.0, 0.0], abs=1e-6)
    assert found.temperature == 0.5


def test_the_map_of_an_audit_is_the_value_of_each_pixels_region() -> None:
    _, found = audited(a_subject(), ArithmeticRuntime(quarters(8, -3, 0, 5)))
    values = values_of(found).astype(np.float32)
    assert found.players is not None
    assert found.source_map.shape == found.players.shape == (24, 20)
    assert np.array_equal(found.source_map, values[found.players])
    assert found.players[0, 0] == 0
    assert found.players[-1, -1] == 3
    assert found.cell_pixels == (12.0, 10.0)


def test_pixels_that_were_cropped_away_have_no_region_and_no_value() -> None:
    subject = a_subject()
    geometry = FrameGeometry.crop((24, 12), SIZE)
    frame = replace(subject.frame, geometry=geometry, picture=np.zeros((24, 12), np.uint8))
    _, found = audited(replace(subject, frame=frame), ArithmeticRuntime(quarters(8, -3, 0, 5)))
    assert found.players is not None
    assert (found.players[:6] == -1).all()
    assert (found.source_map[:6] == 0).all()
    assert found.cell_pixels == (6.0, 6.0)


def test_an_audit_never_holds_the_device_for_more_than_a_chunk() -> None:
    runtime = ArithmeticRuntime(quarters(8, -3, 0, 5))
    yielded, _ = audited(a_subject(grid=(3, 2)), runtime, chunk=5)
    assert max(runtime.batches) <= 5
    assert len(yielded) >= len(runtime.batches)
    assert sum(runtime.batches) == 64


def test_each_chunk_has_a_turn_of_its_own() -> None:
    turns: list[str] = []

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append("taken")
        yield
        turns.append("given back")

    plan = AuditPlan("shapley_exact", 8)
    runtime = ArithmeticRuntime(quarters(8, -3, 0, 5))
    found = finished(a_door().audit(a_subject(), runtime, None, plan), turn)
    assert found.estimate.exact
    assert turns == ["taken", "given back"] * 3


def test_seconds_count_only_the_audit_not_what_ran_between_its_chunks() -> None:
    clock = FakeClock()
    plan = AuditPlan("shapley_exact", 4)
    steps = a_door(clock).audit(a_subject(), ArithmeticRuntime(quarters(1, 2, 3, 4)), None, plan)
    _, found = driven(steps, pause=lambda: clock.advance(60.0))
    assert found.seconds == 0.0


def test_an_audit_that_was_cut_off_goes_on_where_it_was_and_ends_the_same(tmp_path: Path) -> None:
    subject, weights = a_subject(grid=(3, 2)), quarters(8, -3, 0, 5)
    _, whole = audited(subject, ArithmeticRuntime(weights), chunk=8)
    plan = AuditPlan("shapley_exact", 8, tmp_path / "values")
    steps = a_door().audit(subject, ArithmeticRuntime(weights), None, plan)
    for _ in range(3):
        next(steps)
    steps.close()
    second = ArithmeticRuntime(weights)
    _, found = driven(a_door().audit(subject, second, None, plan))
    assert sum(second.batches) == 64 - 24
    assert values_of(found).tobytes() == values_of(whole).tobytes()
    assert found.quality == whole.quality
    replayed = ArithmeticRuntime(weights)
    _, again = driven(a_door().audit(subject, replayed, None, plan))
    assert replayed.batches == []
    assert values_of(again).tobytes() == values_of(whole).tobytes()


def test_a_good_audit_is_measured_as_good() -> None:
    subject = a_subject(grid=(3, 2))
    runtime = ArithmeticRuntime(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    quality = found.quality
    assert quality["deletion"] < 0 < quality["insertion"]
    assert quality["deletion_fast_map"] < 0 < quality["insertion_fast_map"]
    assert quality["sensitivity_n"] > 0.95
    assert quality["agreement"] > 0.7
    assert quality["completeness_residual"] < 1e-12
    assert found.warnings == ()


def test_no_metric_is_reported_that_is_not_declared() -> None:
    subject = a_subject(grid=(3, 2), second_baseline="blur", baseline_cells=1)
    ramp = np.linspace(0.5, 2.0, 144, dtype=np.float32).reshape(1, 1, *SIZE)
    subject = replace(subject, frame=replace(subject.frame, tensor=ramp))
    runtime = ArithmeticRuntime(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    declared = {metric.name for metric in METRICS}
    beside = {"pointing_game", "iou", "mass", "evaluations", "seconds"}
    assert declared == {*fast.quality, *found.quality, *beside}


def test_what_is_known_of_an_audit_falls_into_four_blocks_of_which_cost_is_one() -> None:
    subject = a_subject(grid=(3, 2))
    runtime = ArithmeticRuntime(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    blocks = in_blocks(found.quality, found.estimate.evaluations, found.seconds)
    assert list(blocks) == list(Block)
    measured = {metric.name: value for each in blocks.values() for metric, value in each}
    assert measured.keys() == {*found.quality, "evaluations", "seconds"}
    assert dict(found.quality).items() <= measured.items()
    cost = {metric.name: value for metric, value in blocks[Block.COST]}
    assert cost == {"evaluations": found.estimate.evaluations, "seconds": found.seconds}


def test_the_picture_says_when_fast_map_and_audit_disagree() -> None:
    subject = a_subject(grid=(3, 2))
    runtime = ArithmeticRuntime(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    upside_down = replace(fast, source_map=-fast.source_map)
    _, found = audited(subject, runtime, upside_down)
    assert found.quality["agreement"] < 0
    assert any(
        "disagree about the regions (lower left against upper left" in sentence
        for sentence in found.warnings
    )


def test_where_nothing_matters_it_says_so_and_claims_no_agreement() -> None:
    subject = a_subject()
    runtime = ArithmeticRuntime(quarters(0.004, 0.001, 0, 0.01))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    assert found.warnings[0].startswith("No region mattered: Meningioma stays at 0.50")
    assert "agreement" not in found.quality


def test_a_network_that_ignores_its_input_is_audited_without_a_map() -> None:
    _, found = audited(a_subject(), ArithmeticRuntime(quarters(0, 0, 0, 0)))
    assert not found.source_map.any()
    assert found.warnings[0].startswith("No region mattered")


def test_a_baseline_that_convinces_the_model_more_than_the_image_is_said() -> None:
    _, found = audited(a_subject(), ArithmeticRuntime(quarters(-8, -9, 2, 0)))
    assert "surer of Meningioma with all regions hidden (0.50)" in found.warnings[0]


def test_a_baseline_that_takes_little_evidence_away_is_said() -> None:
    _, found = audited(a_subject(), ArithmeticRuntime(quarters(0.3, 0.1, 0.1, 0.0)))
    assert "0.50 remains with all regions hidden" in found.warnings[0]


def test_regions_that_count_only_together_are_told_from_those_that_do_not_count() -> None:
    # Either half alone moves the score, both or none do not: each region's share is nothing.
    class Exclusive(ArithmeticRuntime):
        def _logits(self, product: FloatMap) -> FloatMap:
            left, right = product[:, :, :6].mean(axis=(1, 2)), product[:, :, 6:].mean(axis=(1, 2))
            return np.stack([0.0 * left, 4.0 * (left - right) ** 2], axis=1).astype(np.float32)

    _, found = audited(a_subject(grid=(1, 2)), Exclusive(np.ones(SIZE)))
    assert values_of(found) == pytest.approx([0.0, 0.0], abs=1e-9)
    assert found.warnings[0].startswith("No region mattered on its own")


def test_an_audit_that_reaches_its_limit_says_how_uncertain_it_is() -> None:
    runtime = ArithmeticRuntime(np.random.default_rng(0).standard_normal(SIZE), 60.0)
    door = Attribute(METHODS, AuditSettings(max_evaluations=60, tolerance=1e-6), FakeClock())
    plan = AuditPlan("shapley", 16)
    found = finished(door.audit(a_subject(grid=(3, 3)), runtime, None, plan))
    assert "Not converged after 60 evaluations: values are uncertain by" in found.warnings[0]
    assert not found.estimate.exact
    assert abs(found.completeness_residual) < 1e-9


def test_values_that_predict_little_are_called_unfaithful() -> None:
    # Four pairs of regions of which one alone matters, and a ninth region that adds a little.
    class Exclusive(ArithmeticRuntime):
        def _logits(self, product: FloatMap) -> FloatMap:
            seen = product.reshape(len(product), 3, 4, 3, 4).mean(axis=(2, 4)).reshape(-1, 9)
            apart = np.abs(seen[:, 0:8:2] - seen[:, 1:8:2]).sum(axis=1)
            score = apart - 2.0 + 0.3 * seen[:, 8]
            return np.stack([0.0 * score, score], axis=1).astype(np.float32)

    _, found = audited(a_subject(grid=(3, 3)), Exclusive(np.ones(SIZE)))
    assert found.quality["sensitivity_n"] < 0.3
    assert any(sentence.startswith("Low faithfulness") for sentence in found.warnings)


def test_a_map_in_the_padding_says_that_it_lies_outside_of_the_picture() -> None:
    cells = np.zeros((1, 3, 12), np.float32)
    cells[0, :, 0] = 1.0
    output = Output(np.array([[0.0, 1.0]], np.float32), cells)
    found = a_door().fast(a_subject(source=(24, 8)), output)
    assert found.warnings == ("The map lies outside of the picture, in the padding around it.",)


def test_a_map_that_is_nearly_even_says_that_it_points_nowhere() -> None:
    cells = np.random.default_rng(0).uniform(0.9, 1.0, (1, 12, 12)).astype(np.float32)
    found = a_door().fast(a_subject(), Output(np.array([[0.0, 1.0]], np.float32), cells))
    assert found.warnings == ("The map is nearly even: it points at no place of the picture.",)
    cells[0, 5, 5] = 90.0
    found = a_door().fast(a_subject(), Output(np.array([[0.0, 1.0]], np.float32), cells))
    assert found.warnings == ()


def test_an_audit_of_one_region_gives_it_everything() -> None:
    _, found = audited(a_subject(grid=(1, 1), baseline="blur"), ArithmeticRuntime(np.eye(12) * 40))
    assert values_of(found) == pytest.approx([found.v_full - found.v_empty])
    assert found.parameters["baseline_cells"] == "6"


def test_sentences_speak_of_probabilities_where_values_are_log_odds() -> None:
    _, found = audited(a_subject(link="log_odds"), ArithmeticRuntime(quarters(-8, -9, 2, 0)))
    assert "surer of Meningioma with all regions hidden (0.50)" in found.warnings[0]


def test_a_target_that_the_network_does_not_have_is_refused() -> None:
    subject = a_subject()
    prediction = replace(subject.prediction, target=2)
    with pytest.raises(ExplanationError, match="2 outputs"):
        audited(replace(subject, prediction=prediction), ArithmeticRuntime(quarters(1, 1, 1, 1)))


def test_the_ledger_keeps_the_numbers_and_no_pixels() -> None:
    subject = a_subject()
    runtime = ArithmeticRuntime(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    record = AttributionRecord.of(found)
    assert record.values == tuple(values_of(found).tolist())
    assert record.agreement == found.quality["agreement"]
    assert record.evaluations == 16
    assert record.exact
    assert AttributionRecord.of(fast).values == ()


def test_occlusion_runs_through_the_same_door() -> None:
    _, found = audited(a_subject(), ArithmeticRuntime(quarters(8, -3, 0, 5)), method="occlusion")
    assert found.estimate.values == pytest.approx(found.occlusion)
    assert "completeness_residual" not in found.quality
    assert not found.estimate.exact
