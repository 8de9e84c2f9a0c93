"""An archive that answers success, throws away, and says so when asked: the alarm is seen."""

from __future__ import annotations

import json
import queue
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt

from lightbox.deliver.connection import RequestingEntity
from lightbox.domain.commitment import NO_SUCH_INSTANCE, PUSH_MODEL, PUSH_MODEL_INSTANCE
from lightbox.domain.events import DeadLettered
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.orthanc import free_port
from site_of_tests import SAMPLES, Site

NO_AUDITS = "[audit]\nmodalities = []\nsample = 0.0\nbelow_confidence = 0.0\n"
TRIES = 3


class ThrowsAway:
    """Keeps nothing; each question is answered with "no such instance", on a new association."""

    ae_title = "TRICKSTER"

    def __init__(self) -> None:
        self.dicom_port = free_port()
        self.stored: dict[str, int] = {}
        self.ours = 0
        self._asked: queue.SimpleQueue[Dataset | None] = queue.SimpleQueue()
        ae = AE(self.ae_title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(str(context.abstract_syntax))
        ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        self._server = ae.start_server(
            ("127.0.0.1", self.dicom_port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_N_ACTION, self._on_action)],
        )
        self._reporting = threading.Thread(target=self._report)
        self._reporting.start()

    def stop(self) -> None:
        self._asked.put(None)
        self._reporting.join(20.0)
        assert self._server is not None
        self._server.ae.shutdown()

    def instances(self) -> list[Any]:
        return []

    def _on_store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
        self.stored[uid] = self.stored.get(uid, 0) + 1
        return 0x0000

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        self._asked.put(event.action_information)
        return 0x0000, None

    def _report(self) -> None:
        while (asked := self._asked.get()) is not None:
            answer = Dataset()
            answer.TransactionUID = asked.TransactionUID
            answer.FailedSOPSequence = list(asked.ReferencedSOPSequence)
            for item in answer.FailedSOPSequence:
                item.FailureReason = NO_SUCH_INSTANCE
            ae = RequestingEntity(self.ae_title)
            ae.add_requested_context(PUSH_MODEL)
            made = ae.associate(
                "127.0.0.1", self.ours, ae_title="LIGHTBOX",
                ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
            )  # fmt: skip
            assert made.is_established
            made.send_n_event_report(answer, 2, PUSH_MODEL, PUSH_MODEL_INSTANCE)
            made.release()


@pytest.fixture
def tricked(tmp_path: Path) -> Iterator[tuple[Site, ThrowsAway]]:
    archive = ThrowsAway()
    site = Site(tmp_path, archive, f"commitment = true\n{NO_AUDITS}")  # type: ignore[arg-type]  # what a site asks of an archive
    archive.ours = site.dicom_port
    site.start()
    yield site, archive
    site.service.stop()
    archive.stop()


@pytest.mark.slow
def test_what_is_thrown_away_is_sent_again_and_then_everyone_sees_the_alarm(
    tricked: tuple[Site, ThrowsAway],
) -> None:
    site, archive = tricked
    assert site.send(SAMPLES[0]).returncode == 0
    site.until(lambda _: dead_letters(site) == len(archive.stored) > 0, 90.0)
    assert set(archive.stored.values()) == {TRIES}
    results = len(archive.stored)
    site.until(lambda _: f"lightbox_dead_letters {float(results)}" in text(site, "/metrics"), 10.0)
    (study,) = site.studies()
    assert {result.is_committed for result in study.results} == {False}
    told = json.loads(text(site, f"/api/studies/{study.study_instance_uid}"))
    assert {result["committed"] for result in told["results"]} == {False}
    assert "stored but not committed" in json.dumps(told)
    page = text(site, "/dead-letters")
    assert page.count("stored but not committed") >= results
    assert "Retry all that failed" in page
    proof = site.prove()
    assert proof.ok, proof.problems


def dead_letters(site: Site) -> int:
    with closing(LedgerReader(site.data / "ledger")) as reader:
        return sum(isinstance(row.event, DeadLettered) for row in reader.since({}))


def text(site: Site, path: str) -> str:
    with urllib.request.urlopen(site.web + path) as answer:
        return str(answer.read().decode())
