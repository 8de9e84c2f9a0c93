"""What the cards of the packages report is computed as they say."""

from __future__ import annotations

import numpy as np
import pytest

from measures import (
    boundary_distance,
    calibration_error,
    confusion,
    cross_fitted,
    dice,
    f2,
    fitted_temperature,
    kappa,
    softmax,
    wilson_interval,
)


def a_square(top: int, left: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((40, 40), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def test_dice_is_one_for_the_same_half_for_half_and_nothing_for_elsewhere() -> None:
    masks = np.stack([a_square(5, 5)] * 3 + [np.zeros((40, 40), np.bool_)] * 2)
    drawn = np.stack(
        [a_square(5, 5), a_square(5, 10), a_square(25, 25), a_square(0, 0), masks[3]],
    )
    assert dice(drawn, masks).tolist() == [1.0, 0.5, 0.0, 0.0, 1.0]


def test_boundaries_lie_as_far_apart_as_the_squares_were_moved() -> None:
    assert boundary_distance(a_square(5, 5), a_square(5, 5)) == 0
    assert boundary_distance(a_square(5, 5), a_square(5, 9)) == 4
    # A speck far away is an outlier of one pixel in forty: 95 of 100 do not see it.
    speck = a_square(5, 5)
    speck[35, 35] = True
    assert boundary_distance(speck, a_square(5, 5)) == 0
    assert np.isnan(boundary_distance(a_square(5, 5), np.zeros((40, 40), np.bool_)))


def test_agreement_beyond_chance() -> None:
    labels = np.array([0, 0, 1, 1])
    assert kappa(confusion(np.array([0, 0, 1, 1]), labels)) == 1
    assert kappa(confusion(np.array([0, 1, 0, 1]), labels)) == 0
    assert f2(confusion(np.array([0, 0, 1, 1]), labels)) == 1
    # One class with precision 1 and recall 1/2, one with precision 2/3 and recall 1.
    table = confusion(np.array([0, 1, 1, 1]), labels)
    assert f2(table) == pytest.approx((5 * 0.5 / 4.5 + 5 * (2 / 3) / (4 * 2 / 3 + 1)) / 2)


def test_the_temperature_takes_overconfidence_away() -> None:
    draw = np.random.default_rng(0)
    honest = draw.normal(0, 1.5, (4000, 2))
    chances = softmax(honest, 1.0)
    labels = (draw.random(4000) < chances[:, 1]).astype(np.int64)
    bold = honest * 2
    assert fitted_temperature(bold, labels) == pytest.approx(2, abs=0.15)
    groups = [str(i % 50) for i in range(4000)]
    before = calibration_error(softmax(bold, 1.0), labels)
    assert before > 0.05
    assert calibration_error(cross_fitted(bold, labels, groups), labels) < before / 2


def test_a_share_of_few_says_little_and_never_leaves_nothing_to_one() -> None:
    low, high = wilson_interval(5, 10)
    assert (round(low, 3), round(high, 3)) == (0.237, 0.763)
    assert wilson_interval(0, 16)[0] == 0.0
    assert wilson_interval(16, 16)[1] == 1.0
    assert wilson_interval(800, 1000)[1] - wilson_interval(800, 1000)[0] < 0.06
