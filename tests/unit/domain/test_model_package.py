"""What a manifest may say."""

from __future__ import annotations

from tomllib import loads

import pytest
from pydantic import ValidationError

from lightbox.domain.model_package import ModelPackage
from packages import a_manifest


def a_table() -> dict[str, object]:
    return loads(a_manifest(b"weights"))


def test_a_manifest_with_only_what_must_be_there_has_safe_defaults() -> None:
    package = ModelPackage.model_validate(a_table())

    assert package.unit == "instance"
    assert package.calibration.audit_below == 0.85
    assert package.accepts.body_part_missing == "accept"
    assert package.accepts.age_years == ()
    assert package.explanation.grid == (4, 3)
    assert package.preprocessing.fit == "pad"


def test_findings_stand_in_the_order_of_the_outputs() -> None:
    package = ModelPackage.model_validate(a_table())

    assert [package.finding(i).name for i in range(3)] == ["normal", "pneumonia", "tumour"]
    assert [finding.negative for finding in package.findings] == [True, False, False]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Brain MRI"),
        ("name", "x"),
        ("sha256", "abc"),
        ("findings", []),
        ("unit", "study"),
        ("calibration", {"temperature": -1}),
        ("calibration", {"audit_below": 1.5}),
        ("explanation", {"baseline": "noise"}),
        ("preprocessing", {"size": [16]}),
        ("preprocessing", {"size": [16, 16], "channels": 3, "mean": [0.1, 0.2]}),
        ("accepts", {"modality": ["CR"], "age_years": [5, 1]}),
        ("accepts", {"modality": ["CR"], "age_years": [-1, 5]}),
        ("accepts", {"modality": ["CR"], "age_years": [5]}),
        ("accepts", {"modality": ["CR"], "age_years": [1, 2, 3]}),
        ("accepts", {"modality": ["CR"], "age_missing": "ask"}),
        ("surprise", 1),
    ],
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        ModelPackage.model_validate({**a_table(), key: value})


def test_two_findings_with_one_name_are_refused() -> None:
    table = a_table()
    findings = table["findings"]
    assert isinstance(findings, list)
    findings[2]["name"] = "normal"

    with pytest.raises(ValidationError, match="names must differ"):
        ModelPackage.model_validate(table)


def test_a_model_that_can_only_find_nothing_is_refused() -> None:
    table = a_table()
    findings = table["findings"]
    assert isinstance(findings, list)
    for finding in findings:
        finding["negative"] = True

    with pytest.raises(ValidationError, match="expected one that is not negative"):
        ModelPackage.model_validate(table)


def test_a_package_cannot_be_changed() -> None:
    package = ModelPackage.model_validate(a_table())

    with pytest.raises(ValidationError, match="frozen"):
        package.version = "2"  # type: ignore[misc]  # the point
