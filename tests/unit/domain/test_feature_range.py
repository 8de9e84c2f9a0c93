"""How far features are from known ones."""

from __future__ import annotations

import numpy as np

from lightbox.domain.feature_range import range_of

DRAW = np.random.default_rng(4)


def test_distances_count_spreads_and_the_nearest_group() -> None:
    spread = np.array([1.0, 10.0, 0.1])
    centres = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    groups = np.repeat([0, 1], 4000)
    known = range_of(centres[groups] + spread * DRAW.standard_normal((8000, 3)), groups)

    far = known.distance(np.array([[0, 20, 0], [50, 0, 0.2], [48, 0, 0], [25, 0, 0]]))

    np.testing.assert_allclose(far, [2.0, 2.0, 2.0, 25.0], rtol=0.05)


def test_a_direction_in_which_nothing_differs_does_not_make_everything_far() -> None:
    features = DRAW.standard_normal((40, 60)) @ DRAW.standard_normal((60, 60))
    features[:, 7] = 0.0
    known = range_of(features[:30], np.zeros(30))

    inside, outside = (
        known.distance(features[30:]).mean(),
        known.distance(10 * features[30:]).mean(),
    )

    assert np.isfinite(inside)
    assert outside > 5 * inside
