"""Settings become parts: a site's own operating point of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.app.build import packages
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Settings
from packages import a_package_folder
from site_of_tests import MODELS


def served(root: Path, **thresholds: float) -> Settings:
    a_package_folder(root)
    own = {"path": str(root), "small": {"thresholds": thresholds}}
    return Settings.model_validate({"models": own})


def test_a_package_is_served_with_the_sites_own_thresholds_beside_its_own(tmp_path: Path) -> None:
    package = packages(served(tmp_path, tumour=0.9)).by_name["small"]
    assert package.site_thresholds == {"tumour": 0.9}
    assert [finding.threshold for finding in package.findings] == [0.5, 0.5, 0.5]


def test_without_thresholds_a_package_is_served_as_it_is(tmp_path: Path) -> None:
    assert packages(served(tmp_path)).by_name["small"].site_thresholds == {}


def test_a_threshold_of_a_finding_that_is_none_stops_the_start_and_the_nearest_is_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        packages(served(tmp_path, tumor=0.9))
    assert str(refused.value) == (
        "models.small.thresholds: 'tumor' is no finding of small (did you mean tumour?)"
    )


def test_what_is_shipped_answers_unasked_only_where_it_is_no_demonstration() -> None:
    shipped = Settings.model_validate({"models": {"path": str(MODELS)}})

    assert not {"breast_ultrasound", "retinal_oct"} & packages(shipped).by_name.keys()
    asked = packages(shipped, "retinal_oct").by_name
    assert asked["retinal_oct"].demonstration.startswith("learned from 16 images")
    assert "breast_ultrasound" not in asked


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_a_threshold_is_a_probability(tmp_path: Path, wrong: float) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        served(tmp_path, tumour=wrong)
