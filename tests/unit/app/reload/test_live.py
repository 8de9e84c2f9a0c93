from __future__ import annotations

import pytest

from lightbox.app.reload.live import differences, merged
from lightbox.settings import Settings

OLD = {
    "data_dir": "/a",
    "dicom": {"port": 1, "accept_called": ["A"]},
    "models": {"path": "m", "enabled": ["x"], "x": {"audit_below": 0.5, "thresholds": {"f": 0.1}}},
    "rules": [{"name": "one"}],
}


@pytest.mark.parametrize(
    ("new", "key", "expected"),
    [
        ({"rules": [{"name": "two"}]}, "rules", [{"name": "two"}]),
        ({}, "rules", None),
        ({"data_dir": "/b"}, "data_dir", "/a"),
        ({}, "data_dir", "/a"),
        ({"dicom": {"port": 2}}, "dicom", {"port": 1}),
        ({"dicom": {"limits": {"idle": 3}}}, "dicom", {"port": 1, "limits": {"idle": 3}}),
        ({"web": {"port": 2}}, "web", None),
        ({"webhooks": [{"name": "ris"}]}, "webhooks", None),
        ({"audit": {"sample": 0.5, "chunk": 8}}, "audit", {"sample": 0.5}),
        (
            {"models": {"path": "n", "x": {"audit_below": 0.9, "thresholds": {}}, "y": {}}},
            "models",
            {"path": "m", "enabled": ["x"], "x": {"audit_below": 0.9, "thresholds": {"f": 0.1}}},
        ),
        ({}, "models", {"path": "m", "enabled": ["x"], "x": {"thresholds": {"f": 0.1}}}),
    ],
)
def test_only_what_can_change_while_the_service_runs_comes_from_the_new_file(
    new: dict[str, object], key: str, expected: object
) -> None:
    assert merged(OLD, new).get(key) == expected


def test_a_file_merged_with_itself_is_itself() -> None:
    assert merged(OLD, OLD) == OLD


def test_what_differs_is_named_as_in_the_file() -> None:
    before, after = (
        Settings(),
        Settings.model_validate({"dicom": {"port": 1, "limits": {"pdu": 2}}}),
    )
    found = differences(before.model_dump(), after.model_dump())
    assert found == ("dicom.port", "dicom.limits.pdu")
