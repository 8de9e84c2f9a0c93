from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import numpy as np
import pytest

from lightbox.domain.arrays import Mask
from lightbox.domain.errors import UsageError
from lightbox.domain.quality import QualityMetric
from lightbox.explain import methods, quality
from lightbox.explain.plugin import GameMethod, MapMethod
from lightbox.explain.quality.agreement import in_steps, rank_correlation, region_means, top_overlap
from lightbox.explain.quality.border import border_mass
from lightbox.explain.quality.complexity import entropy, sparseness
from lightbox.explain.quality.deletion_insertion import area, mean_by_size, prefixes
from lightbox.explain.quality.localisation import plausibility
from lightbox.explain.quality.sensitivity_n import kept_halves, sensitivity_n


def modules_of(package: ModuleType) -> list[ModuleType]:
    names = [found.name for found in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def test_every_metric_has_one_name_and_says_what_it_means() -> None:
    found: list[QualityMetric] = []
    for module in modules_of(quality):
        found += [value for value in vars(module).values() if isinstance(value, QualityMetric)]
        found += getattr(module, "METRICS", ())
    names = {metric.name for metric in found}
    assert {"deletion", "insertion", "sensitivity_n", "agreement", "border_mass"} <= names
    assert len(set(found)) == len(names)
    assert all(metric.meaning.endswith(".") for metric in found)


def test_every_method_module_ends_in_its_method_under_the_name_of_the_file() -> None:
    for module in modules_of(methods):
        assert isinstance(module.METHOD, MapMethod | GameMethod)
        assert module.METHOD.card.name == module.__name__.rpartition(".")[2]


@pytest.mark.parametrize("package", [methods, quality])
def test_files_of_methods_and_metrics_do_not_import_each_other(package: ModuleType) -> None:
    for module in modules_of(package):
        others = [value for value in vars(module).values() if hasattr(value, "__module__")]
        assert not any(
            other.__module__.startswith(package.__name__) and other.__module__ != module.__name__
            for other in others
        )


def test_an_even_map_has_full_entropy_and_no_sparseness() -> None:
    assert entropy(np.full((4, 4), 2.0)) == pytest.approx(1.0)
    assert sparseness(np.full((4, 4), 2.0)) == pytest.approx(0.0)


def test_a_single_cell_has_no_entropy_and_full_sparseness() -> None:
    single = np.zeros((4, 4))
    single[1, 2] = -3.0
    assert entropy(single) == 0.0
    assert sparseness(single) == pytest.approx(15 / 16)


def test_the_border_of_an_even_map_holds_its_share() -> None:
    assert border_mass(np.ones((100, 50))) == pytest.approx(0.36)
    inner = np.zeros((100, 50))
    inner[10:90, 5:45] = 1.0
    assert border_mass(inner) == pytest.approx(0.0)


def test_regions_come_in_highest_first_and_of_equal_ones_the_first() -> None:
    found = prefixes(np.array([0.1, 0.5, 0.5]))
    assert found.astype(int).tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1]]


def test_the_mean_over_random_orders_is_the_mean_over_coalitions_of_each_size() -> None:
    rows = np.array([[i >> b & 1 for b in range(3)] for i in range(8)], bool)
    values = np.arange(8.0)
    found = mean_by_size(rows, values)
    assert found == pytest.approx([0, 7 / 3, 14 / 3, 7])
    assert mean_by_size(rows[[0, 7, 1]], values[[0, 7, 1]]) == pytest.approx([0, 1, 4, 7])
    assert mean_by_size(rows[[0]], values[[0]]) is None


def test_the_area_of_a_curve_is_its_mean_height() -> None:
    assert area(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.75)


def test_values_of_an_additive_game_predict_every_fall() -> None:
    values = np.array([0.5, -0.2, 0.1, 0.0, 0.3])
    kept = kept_halves(5, seed=0)
    assert (kept.sum(axis=1) == 3).all()
    assert sensitivity_n(values, kept, kept @ values, values.sum()) == pytest.approx(1.0)
    assert sensitivity_n(-values, kept, kept @ values, values.sum()) == pytest.approx(-1.0)
    assert sensitivity_n(np.zeros(5), kept, kept @ values, values.sum()) is None


def test_rank_correlation_shares_ties_fairly() -> None:
    found = rank_correlation(np.array([1.0, 2, 2, 4, 5]), np.array([5.0, 6, 7, 8, 7]))
    assert found == pytest.approx(7.25 / 9.5)
    assert rank_correlation(np.ones(3), np.arange(3.0)) is None


def test_top_overlap_looks_at_what_has_half_of_the_highest_value() -> None:
    values = np.array([0.6, 0.5, 0.2, 0.0, -0.9])
    assert top_overlap(values, 3.0 * values) == 1.0
    assert top_overlap(values, values[::-1]) == 0.0
    assert top_overlap(values, np.roll(values, 1)) == pytest.approx(1 / 3)
    assert top_overlap(values, np.array([0.0, 0.0, -1.0, 0.0, 0.0])) is None


def test_differences_below_a_step_do_not_count_as_order() -> None:
    one, other = np.array([0.6, 0.002, -0.003, 0.001]), np.array([9.0, -0.003, 0.002, 0.0])
    assert rank_correlation(one, other) == pytest.approx(0.2)
    assert rank_correlation(in_steps(one, 0.01), in_steps(other, 0.1)) == pytest.approx(1.0)


def test_means_of_regions_leave_out_what_belongs_to_none() -> None:
    players = np.array([[0, 0, -1], [1, 1, 1]], np.int16)
    source_map = np.array([[1.0, 3.0, 99.0], [0.0, 0.0, 6.0]])
    assert region_means(source_map, players, 2).tolist() == [2.0, 2.0]


def a_mask(rows: slice, columns: slice, shape: tuple[int, int] = (10, 10)) -> Mask:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def test_a_map_that_is_the_mask_hits_it_fully() -> None:
    mask = a_mask(slice(2, 5), slice(3, 6))
    found = plausibility(mask.astype(np.float32), mask)
    assert (found.pointing_game, found.iou, found.mass) == (1.0, 1.0, 1.0)


def test_a_map_beside_the_mask_misses_it() -> None:
    mask = a_mask(slice(2, 5), slice(3, 6))
    found = plausibility(np.roll(mask, 5, axis=0).astype(np.float32), mask)
    assert (found.pointing_game, found.mass) == (0.0, 0.0)
    assert found.iou == 0.0


def test_ties_count_as_chance_would_have_it() -> None:
    mask = a_mask(slice(0, 5), slice(0, 2))
    found = plausibility(np.ones((10, 10), np.float32), mask)
    assert found.pointing_game == pytest.approx(0.1)
    assert found.mass == pytest.approx(0.1)
    assert found.iou == pytest.approx(1 / 19)


def test_negative_values_are_no_evidence_inside_of_the_mask() -> None:
    mask = a_mask(slice(0, 1), slice(0, 1), (2, 2))
    assert plausibility(np.array([[-5.0, 1.0], [0.0, 0.0]]), mask).mass == 0.0
    assert plausibility(np.array([[-5.0, -1.0], [-2.0, -3.0]]), mask).mass == 0.0


@pytest.mark.parametrize("mask", [np.zeros((10, 10), bool), np.ones((9, 10), bool)])
def test_a_mask_that_cannot_be_meant_is_refused(mask: Mask) -> None:
    with pytest.raises(UsageError, match="mask"):
        plausibility(np.ones((10, 10)), mask)
