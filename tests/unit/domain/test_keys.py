"""Keys of a file: the nearest right one, and the words of a complaint."""

from __future__ import annotations

from lightbox.domain.keys import leaves, model_at, nearest, overlay, spelled
from lightbox.settings import Dicom, ModelOverride, Settings, Tls


def test_the_nearest_name_is_offered_else_all() -> None:
    assert nearest("prot", ["port", "host"]) == "did you mean port?"
    assert nearest("STATT", ["STAT", "HIGH"]) == "did you mean STAT?"
    assert nearest("zzz", ["port", "host"]) == "known here: host, port"


def test_a_location_is_spelled_as_people_do() -> None:
    assert spelled(("destinations", 0, "port")) == "destinations[0].port"


def test_the_model_of_a_table_is_found() -> None:
    assert model_at(Settings, ("dicom",)) is Dicom
    assert model_at(Settings, ("dicom", "tls")) is Tls
    assert model_at(Settings, ("models", "any_name")) is ModelOverride
    assert model_at(Settings, ("dicom", "port")) is None
    assert model_at(Settings, ("nonsense",)) is None


def test_variables_are_laid_over_the_file_and_remembered() -> None:
    tree: dict[str, object] = {"dicom": {"port": 1}}
    variables = {"X__DICOM__TLS__PORT": "2", "HOME": "/root", "X__DEADLINES__STAT": "3s"}
    sources = overlay(Settings, tree, variables, "X__")
    assert tree == {"dicom": {"port": 1, "tls": {"port": 2}}, "deadlines": {"STAT": "3s"}}
    assert sources == {
        ("dicom", "tls", "port"): "X__DICOM__TLS__PORT",
        ("deadlines", "STAT"): "X__DEADLINES__STAT",
    }


def test_leaves_are_all_values_that_are_no_tables() -> None:
    assert list(leaves({"a": 1, "b": {"c": [2], "d": {}}})) == [("a",), ("b", "c")]
