"""What a configuration says as a whole is checked before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from lightbox.app.site_check import check, not_yet, problems
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Settings


def said(**given: Any) -> list[str]:
    return [str(problem) for problem in problems(Settings.model_validate(given))]


def a_rule(**when: object) -> dict[str, object]:
    return {"name": "ed", "when": when, "urgency": "STAT"}


def test_the_defaults_and_the_sample_of_the_design_are_right() -> None:
    rule = a_rule(Modality=["CR", "DX"], StationName="^ED", called_ae="~^X")
    destination = {"name": "pacs", "ae_title": "ORTHANC"}
    assert not said(rules=[rule], destinations=[destination], audit={"window": "22:00-06:00"})


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"rules": [a_rule(Modalty="CR")]},
            "rules[0] ed: when.Modalty: is no DICOM keyword (did you mean Modality?)",
        ),
        (
            {"rules": [a_rule(Modality="(")]},
            "rules[0] ed: when.Modality: '(' is no regular expression",
        ),
        (
            {"rules": [a_rule(PatientName="X")]},
            "rules[0] ed: when.PatientName: says who the patient is: rules do not read it",
        ),
        (
            {"rules": [a_rule(ReferringPhysicianName="X")]},
            "rules[0] ed: when.ReferringPhysicianName: says who the patient is",
        ),
        (
            {"destinations": [{"name": "pacs"}]},
            "destinations[0] pacs: has neither ae_title nor stow (add one of the two)",
        ),
        (
            {"destinations": [{"name": "a", "ae_title": "A"}, {"name": "a", "ae_title": "B"}]},
            "destinations a: is there twice (rename one)",
        ),
        (
            {"dicom": {"ae_title": "MUCH_TOO_LONG_A_TITLE"}},
            "dicom.ae_title: AE title 'MUCH_TOO_LONG_A_TITLE': is not 1 to 16 printable",
        ),
        (
            {"dicom": {"accept_calling": ["CT1@10.0.0.7", ""]}},
            "dicom.accept_calling: AE title ''",
        ),
        (
            {"audit": {"window": "at night"}},
            "audit.window: found 'at night' (expected hours such as",
        ),
        (
            {
                "models": {"chest": {"destinations": ["pasc"]}},
                "destinations": [{"name": "pacs", "ae_title": "A"}],
            },
            "models.chest.destinations: 'pasc' is no destination (did you mean pacs?)",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(given: dict[str, Any], line: str) -> None:
    found = said(**given)
    assert len(found) == 1
    assert found[0].startswith(line)
    with pytest.raises(ConfigurationError):
        check(Settings.model_validate(given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ae_title": "PACS"}, False),
        ({"ae_title": "PACS", "commitment": True}, False),
        ({"ae_title": "OTHER", "commitment": True}, True),
        ({"stow": "http://pacs/dicom-web", "commitment": True}, True),
    ],
)
def test_a_commitment_that_could_never_come_is_said(given: dict[str, Any], said: bool) -> None:
    destination = {"name": "pacs", **given}
    settings = Settings.model_validate(
        {"destinations": [destination], "dicom": {"accept_calling": ["CT1", "PACS@10.0.0.7"]}}
    )
    assert bool([line for line in not_yet(settings) if "commitment" in line]) is said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "ris:8080/told"}, "is not an address of the web"),
        ({"url": "https:///told"}, "is not an address of the web"),
        ({"url": "https://ris:99999/told"}, "is not an address of the web"),
        ({"url": "https://ann:0123456789abcdef@ris/told"}, "url: holds a password"),
        ({"url": "http://ris/told", "tls": {"ca": "system"}}, "tls: is for https"),
        ({"tls": {"ca": "/nowhere/ca.pem"}}, "/nowhere/ca.pem"),
        ({"secret": "short"}, "has fewer than 16 characters"),
        ({"secret": "env:NOBODY_SET_THIS"}, "is empty or not there"),
    ],
)
def test_a_webhook_that_could_not_work_is_refused(changes: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "name": "ris",
        "url": "https://ris/told",
        "secret": "0123456789abcdef",
        **changes,
    }
    (line,) = said(webhooks=[given])
    assert words in line
    assert "0123456789abcdef" not in line


@pytest.mark.parametrize(
    ("stow", "words"),
    [
        ("http://pacs:99999/dicom-web", "is not an address of the web"),
        ("https://ann:0123456789abcdef@pacs/dicom-web", "stow: holds a password"),
    ],
)
def test_an_address_that_could_not_work_or_holds_a_password_is_refused(
    stow: str, words: str
) -> None:
    (line,) = said(destinations=[{"name": "pacs", "stow": stow}])
    assert words in line
    assert "0123456789abcdef" not in line


def test_two_webhooks_have_two_names() -> None:
    given = {"name": "ris", "url": "https://ris/told", "secret": "0123456789abcdef"}
    assert said(webhooks=[given]) == []
    assert said(webhooks=[given, given]) == ["webhooks ris: is there twice (rename one)"]
