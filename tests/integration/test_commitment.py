"""Storage commitment both ways: a real Orthanc in both roles, and an archive that plays tricks."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from builders import a_job, a_result_file, a_stored, a_uid
from dicom_images import a_file, a_picture, an_image
from lightbox.app.clock import SystemClock
from lightbox.app.commitments import Commitments, judge_here
from lightbox.deliver.access.answers import take_turns
from lightbox.deliver.connection import RequestingEntity
from lightbox.deliver.cstore import CStore
from lightbox.deliver.outbox import still_to_send
from lightbox.deliver.send import Send
from lightbox.domain.account import Account
from lightbox.domain.commitment import (
    NO_SUCH_INSTANCE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentAnswered,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentRequested,
    Committed,
)
from lightbox.domain.events import DeadLettered, Delivered, Event, JobPlaced, ResultsWritten
from lightbox.domain.result import Result, ResultKind
from lightbox.ledger.prove import prove
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.receive.listener import Listener
from lightbox.receive.store import Store
from lightbox.settings import DestinationSettings, Dicom, Settings
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve
from lightbox.tools.orthanc import Orthanc, free_port, is_installed

KINDS = (ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)
needs_orthanc = pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")


class Desk:
    """Listener, outbox and commitment of a service in one process, on real chains of a ledger."""

    def __init__(self, root: Path, ours: int, **peer: object) -> None:
        self.root = root
        given = {"name": "pacs", "commitment": True, "retry_first": "1s", **peer}
        self.settings = Settings(
            dicom=Dicom(port=ours), destinations=(DestinationSettings.model_validate(given),)
        )
        self.destination = self.settings.destinations[0]
        self.is_running = False

    def start(self) -> None:
        clock = SystemClock()
        self.received = SqliteLedger(self.root / "ledger", "receive", clock)
        self.ledger = SqliteLedger(self.root / "ledger", "control", clock)
        self.store = Store(self.root, Files(), self.received, clock, Reserve(self.root, 0))
        self.listener = Listener(
            self.settings.dicom,
            self.store,
            self.received,
            clock,
            lambda _: None,
            judge_here(self.settings, self.root, self.received),
        )
        self.send = Send(
            CStore(self.destination, "LIGHTBOX", self.root), self.ledger, self.destination, clock
        )
        self.commitments = Commitments(
            self.settings, self.root, self.ledger, {"pacs": self.send}, clock, lambda: None
        )
        history = self.ledger.since({})
        self.account = Account(("pacs",), commits=("pacs",))
        self.events: list[Event] = []
        for row in history:
            self.account.apply(row)
            self.events.append(row.event)
        for parcel in still_to_send(history, self.destination):
            self.send.resume(parcel)
        self.commitments.resume(history)
        self.listener.start()
        self.send.start()
        self.commitments.start()
        self.is_running = True

    def stop(self) -> None:
        if not self.is_running:
            return
        self.is_running = False
        self.commitments.close(5)
        self.send.close(5)
        self.listener.drain(5)
        self.store.close()
        self.ledger.close()
        self.received.close()

    def until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        nap = threading.Event()
        give_up = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < give_up, self.standing()
            for row in self.ledger.since(self.account.positions):
                self.account.apply(row)
                self.events.append(row.event)
                self.commitments.follow(row)
            nap.wait(0.02)

    def standing(self) -> str:
        """Say what came and what each thread does, for whoever reads why nothing more came."""
        names = {each.ident: each.name for each in threading.enumerate()}
        frames = sys._current_frames().items()  # there is no public way
        threads = [
            f"{names.get(ident)}: {''.join(traceback.format_stack(frame)[-3:])}"
            for ident, frame in frames
        ]
        return "\n".join([", ".join(map(repr, self.events)), *threads])

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def count(self, kind: type[Event], number: int) -> Callable[[], bool]:
        return lambda: len(self.of(kind)) >= number

    def deliver(self) -> tuple[Result, ...]:
        """Write the results of a job and send them."""
        stored = a_stored()
        job = a_job(stored.instance)
        results = tuple(a_result_file(self.root, "1", kind) for kind in KINDS)
        written = ResultsWritten(job.study_instance_uid, job.job_id, results)
        self.ledger.record(stored, JobPlaced(job), written)
        for result in results:
            self.send.take(job.job_id, job.study_instance_uid, result, job.urgency)
        self.until(self.count(Delivered, len(results)))
        return results

    def said(self) -> set[bool | None]:
        return {d.is_committed for job in self.account.jobs_of() for d in job.deliveries}

    def proves(self) -> bool:
        proof = prove(self.root / "ledger", ("pacs",))
        return proof.ok and not proof.problems


@contextmanager
def running(desk: Desk) -> Iterator[Desk]:
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


class Trickster:
    """An archive that answers every C-STORE and N-ACTION with success and keeps what it wants."""

    def __init__(self, ours: int) -> None:
        self.port = free_port()
        self.stored: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.asked: queue.SimpleQueue[tuple[Dataset, Association]] = queue.SimpleQueue()
        self.reports: queue.SimpleQueue[Dataset] = queue.SimpleQueue()
        self._ours = ours
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> None:
        ae = AE("TRICKSTER")
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(str(context.abstract_syntax))
        ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        self._server = ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[
                (evt.EVT_REQUESTED, lambda event: take_turns(event.assoc)),
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_N_ACTION, self._on_action),
                (evt.EVT_N_EVENT_REPORT, self._on_report),
            ],
        )

    def stop(self) -> None:
        if self._server is not None:
            self._server.ae.shutdown()
            self._server = None

    def report(self, asked: Dataset, lost: tuple[str, ...] = (), on: Association | None = None) -> int:  # fmt: skip
        """Report on a transaction, on a new association unless one is given."""
        answer = Dataset()
        answer.TransactionUID = asked.TransactionUID
        kept = [r for r in asked.ReferencedSOPSequence if r.ReferencedSOPInstanceUID not in lost]
        bad = [r for r in asked.ReferencedSOPSequence if r.ReferencedSOPInstanceUID in lost]
        for item in bad:
            item.FailureReason = NO_SUCH_INSTANCE
        if kept:
            answer.ReferencedSOPSequence = kept
        if bad:
            answer.FailedSOPSequence = bad
        association = on or self._call(reports=True)
        status, _ = association.send_n_event_report(
            answer, 2 if bad else 1, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )
        if on is None:
            association.release()
        return int(status.Status)

    def ask(self, transaction: str, *references: tuple[str, str]) -> int:
        """Ask us to keep objects."""
        asked = a_question(transaction, *references)
        association = self._call(reports=False)
        status, _ = association.send_n_action(asked, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
        return int(status.Status)

    def _call(self, *, reports: bool) -> Association:
        ae = RequestingEntity("TRICKSTER")
        ae.add_requested_context(PUSH_MODEL)
        made = ae.associate(
            "127.0.0.1",
            self._ours,
            ae_title="LIGHTBOX",
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)] if reports else None,
        )
        assert made.is_established
        return made

    def _on_store(self, event: evt.Event) -> int:
        self.stored.put(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr]
        return 0x0000

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        self.asked.put((event.action_information, event.assoc))
        return 0x0000, None

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        self.reports.put(event.event_information)
        return 0x0000, None


def a_question(transaction: str, *references: tuple[str, str]) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    return asked


@pytest.fixture
def ours() -> int:
    return free_port()


@pytest.fixture
def trickster(ours: int) -> Iterator[Trickster]:
    made = Trickster(ours)
    made.start()
    yield made
    made.stop()


def desk_of(root: Path, ours: int, trickster: Trickster, within: str = "20s") -> Desk:
    peer = {"ae_title": "TRICKSTER", "port": trickster.port, "commitment_within": within}
    return Desk(root, ours, **peer)


def test_a_report_on_the_same_association_commits_the_results(
    tmp_path: Path, ours: int, trickster: Trickster
) -> None:
    with running(desk_of(tmp_path, ours, trickster)) as desk:
        desk.deliver()
        desk.until(desk.count(CommitmentAsked, 1))
        asked, association = trickster.asked.get(timeout=30)
        assert len(asked.ReferencedSOPSequence) == 2
        assert trickster.report(asked, on=association) == 0x0000
        desk.until(desk.count(Committed, 2))
        assert desk.said() == {True}
        assert desk.proves()


def test_a_report_after_our_restart_on_a_new_association_finds_its_results(
    tmp_path: Path, ours: int, trickster: Trickster
) -> None:
    with running(desk_of(tmp_path, ours, trickster)) as desk:
        desk.deliver()
        desk.until(desk.count(CommitmentAsked, 1))
        asked, _ = trickster.asked.get(timeout=30)
    with running(desk_of(tmp_path, ours, trickster)) as desk:
        assert trickster.report(asked) == 0x0000
        desk.until(desk.count(Committed, 2))
        assert trickster.asked.empty()
        assert desk.said() == {True}


def test_what_is_acknowledged_and_thrown_away_is_sent_again_three_times_then_an_alarm(
    tmp_path: Path, ours: int, trickster: Trickster
) -> None:
    with running(desk_of(tmp_path, ours, trickster)) as desk:
        picture, mask = desk.deliver()
        for number in range(1, 4):
            desk.until(desk.count(CommitmentAsked, number))
            asked, _ = trickster.asked.get(timeout=30)
            assert trickster.report(asked, lost=(mask.sop_instance_uid,)) == 0x0000
        desk.until(desk.count(DeadLettered, 1))
        (dead,) = desk.of(DeadLettered)
        assert dead.sop_instance_uid == mask.sop_instance_uid
        assert "stored but not committed: 0x0112 it does not hold this object" in dead.reason
        attempts = [e.attempt for e in desk.of(Delivered) if e.sop_instance_uid == mask.sop_instance_uid]  # fmt: skip
        assert attempts == [1, 2, 3]
        assert [e.sop_instance_uid for e in desk.of(Committed)] == [picture.sop_instance_uid]
        assert desk.said() == {True, False}
        assert desk.proves()


def test_silence_is_no_promise(tmp_path: Path, ours: int, trickster: Trickster) -> None:
    with running(desk_of(tmp_path, ours, trickster, within="0.5s")) as desk:
        desk.deliver()
        desk.until(desk.count(DeadLettered, 2))
        assert len(desk.of(CommitmentAsked)) == 3
        assert {e.reason for e in desk.of(CommitmentFailed)} == {0}
        assert "no report within 0.5 s" in desk.of(DeadLettered)[0].reason


def test_a_peer_that_was_away_gets_its_report_after_our_restart(
    tmp_path: Path, ours: int, trickster: Trickster
) -> None:
    image = a_scan()
    file = a_file(tmp_path / "one.dcm", image)
    root = tmp_path / "data"
    held = (str(image.SOPClassUID), str(image.SOPInstanceUID))
    with running(desk_of(root, ours, trickster)) as desk:
        store_with_dcmtk(ours, file)
        trickster.stop()
        assert trickster.ask("2.25.77", held, (held[0], "1.2.3"), ("1.2.3", held[1])) == 0x0000
        desk.until(desk.count(CommitmentRequested, 1))
        assert desk.of(CommitmentAnswered) == []
    trickster.start()
    with running(desk_of(root, ours, trickster)) as desk:
        desk.until(desk.count(CommitmentAnswered, 1))
        report = trickster.reports.get(timeout=30)
        assert report.TransactionUID == "2.25.77"
        assert [r.ReferencedSOPInstanceUID for r in report.ReferencedSOPSequence] == [held[1]]
        reasons = {(r.ReferencedSOPInstanceUID, r.FailureReason) for r in report.FailedSOPSequence}
        assert reasons == {("1.2.3", 0x0112), (held[1], 0x0119)}
        assert desk.proves()


def test_a_file_that_changed_on_our_disk_is_not_promised(
    tmp_path: Path, ours: int, trickster: Trickster
) -> None:
    image = a_scan()
    file = a_file(tmp_path / "one.dcm", image)
    root = tmp_path / "data"
    with running(desk_of(root, ours, trickster)) as desk:
        store_with_dcmtk(ours, file)
        stored = next(p for p in root.glob("instances/*/*") if p.stat().st_size)
        stored.chmod(0o600)
        data = bytearray(stored.read_bytes())
        data[-1] ^= 1
        stored.write_bytes(data)
        held = (str(image.SOPClassUID), str(image.SOPInstanceUID))
        assert trickster.ask("2.25.78", held) == 0x0000
        desk.until(desk.count(CommitmentAnswered, 1))
        report = trickster.reports.get(timeout=30)
        assert [r.FailureReason for r in report.FailedSOPSequence] == [0x0112]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize("longest", [0, 64])
def test_a_peer_whose_address_nobody_knows_gets_its_report_on_its_own_association(
    tmp_path: Path, ours: int, trickster: Trickster, syntax: str, longest: int
) -> None:
    image = a_scan()
    file = a_file(tmp_path / "one.dcm", image)
    with running(desk_of(tmp_path / "data", ours, trickster)) as desk:
        store_with_dcmtk(ours, file)
        reports: queue.SimpleQueue[Dataset] = queue.SimpleQueue()

        def on_report(event: evt.Event) -> tuple[int, None]:
            reports.put(event.event_information)
            return 0x0000, None

        ae = RequestingEntity("NOBODY")
        ae.add_requested_context(PUSH_MODEL, syntax)
        association = ae.associate(
            "127.0.0.1",
            ours,
            ae_title="LIGHTBOX",
            max_pdu=longest,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)],
        )
        held = (str(image.SOPClassUID), str(image.SOPInstanceUID))
        asked = a_question("2.25.80", held, (held[0], "1.2.3"))
        status, _ = association.send_n_action(asked, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        assert status.Status == 0x0000
        report = reports.get(timeout=30)
        assert [r.ReferencedSOPInstanceUID for r in report.ReferencedSOPSequence] == [held[1]]
        assert [r.FailureReason for r in report.FailedSOPSequence] == [0x0112]
        desk.until(desk.count(CommitmentAnswered, 1))
        assert desk.of(CommitmentAnswered)[0].undeliverable == ""
        association.release()
        assert association.is_released


def a_scan() -> Dataset:
    pixels = (255 * a_picture()).astype("u1")
    return an_image(
        pixels, {"StudyInstanceUID": a_uid("study"), "SeriesInstanceUID": a_uid("series")}
    )


def store_with_dcmtk(port: int, file: Path) -> None:
    subprocess.run(
        ["storescu", "-R", "-aec", "LIGHTBOX", "127.0.0.1", str(port), str(file)],
        check=True,
        capture_output=True,
        timeout=30,
    )


# ---- Orthanc


@pytest.fixture
def orthanc(tmp_path: Path, ours: int) -> Iterator[Orthanc]:
    with Orthanc(tmp_path / "orthanc", peers={"LIGHTBOX": ("127.0.0.1", ours)}) as made:
        yield made


@needs_orthanc
def test_orthanc_commits_what_it_keeps_and_gets_again_what_it_lost(
    tmp_path: Path, ours: int, orthanc: Orthanc
) -> None:
    peer = {"ae_title": orthanc.ae_title, "port": orthanc.dicom_port}
    with running(Desk(tmp_path / "data", ours, **peer)) as desk:
        picture, mask = desk.deliver()
        orthanc.delete(mask.sop_instance_uid)  # before we ask, 2 s later
        desk.until(desk.count(Committed, 2))
        (failed,) = desk.of(CommitmentFailed)
        assert (failed.sop_instance_uid, failed.reason) == (mask.sop_instance_uid, NO_SUCH_INSTANCE)
        kept = {stored.sop_instance_uid for stored in orthanc.instances()}
        assert kept == {picture.sop_instance_uid, mask.sop_instance_uid}
        assert desk.said() == {True}
        assert desk.proves()


@needs_orthanc
def test_orthanc_asks_us_and_believes_our_report(
    tmp_path: Path, ours: int, orthanc: Orthanc
) -> None:
    image = a_scan()
    file = a_file(tmp_path / "one.dcm", image)
    held = [str(image.SOPClassUID), str(image.SOPInstanceUID)]
    peer = {"ae_title": orthanc.ae_title, "port": orthanc.dicom_port}
    with running(Desk(tmp_path / "data", ours, **peer)) as desk:
        store_with_dcmtk(ours, file)
        asked = {"DicomInstances": [held, [held[0], "1.2.3.4"]]}
        made = rest(orthanc, "/modalities/LIGHTBOX/storage-commitment", asked)
        desk.until(desk.count(CommitmentAnswered, 1))
        found = rest(orthanc, made["Path"])
        assert found["Status"] == "Failure"
        assert [each["SOPInstanceUID"] for each in found["Success"]] == [held[1]]
        assert [each["SOPInstanceUID"] for each in found["Failures"]] == ["1.2.3.4"]


def rest(orthanc: Orthanc, path: str, body: object = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{orthanc.http_url}{path}", data, timeout=10) as answer:
        return json.loads(answer.read())
