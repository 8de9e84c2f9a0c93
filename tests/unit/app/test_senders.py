"""Return to sender: a destination that gets what it sent itself, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import a_job, a_result, a_stored, an_instance
from fakes.ledger import FakeLedger
from lightbox.app.build import Routing
from lightbox.app.questions.senders import senders
from lightbox.domain.jobs import Job
from lightbox.settings import Settings


def a_ledger(*arrived: tuple[str, str]) -> FakeLedger:
    """Return a ledger in which instances (by name) came from AE titles."""
    ledger = FakeLedger()
    for name, calling_ae in arrived:
        stored = a_stored(an_instance(name))
        ledger.record(replace(stored, arrival=replace(stored.arrival, calling_ae=calling_ae)))
    return ledger


def wanted(ledger: FakeLedger, job: Job, **given: Any) -> bool:
    settings = Settings.model_validate(
        {"destinations": [{"name": "modality", "ae_title": "CT1", "to": "sender", **given}]}
    )
    asked = lambda: senders(ledger, job)  # noqa: E731
    return Routing(settings).wants(job, a_result(job), "modality", asked)


@pytest.mark.parametrize(("calling", "gets"), [("CT1", True), ("CT2", False)])
def test_the_node_that_sent_the_images_gets_the_result(calling: str, gets: bool) -> None:
    ledger = a_ledger(("1", calling))
    assert wanted(ledger, a_job(an_instance("1"))) is gets


def test_a_node_may_send_under_other_titles_than_it_listens_to() -> None:
    ledger, job = a_ledger(("1", "CT1_SCU")), a_job(an_instance("1"))
    assert not wanted(ledger, job)
    assert wanted(ledger, job, sends_as=["CT1_SCU"])


def test_of_one_study_from_two_nodes_each_gets_the_results_of_its_own_images() -> None:
    ledger = a_ledger(("1", "CT1"), ("2", "CT2"))
    assert wanted(ledger, a_job(an_instance("1")))
    assert not wanted(ledger, a_job(an_instance("2")))
    assert wanted(ledger, a_job(an_instance("1"), an_instance("2")))


def test_nobody_asks_the_ledger_for_a_destination_that_gets_everything() -> None:
    def asked() -> frozenset[str]:
        raise AssertionError("asked")

    settings = Settings.model_validate({"destinations": [{"name": "pacs", "ae_title": "PACS"}]})
    job = a_job(an_instance("1"))
    assert Routing(settings).wants(job, a_result(job), "pacs", asked)
