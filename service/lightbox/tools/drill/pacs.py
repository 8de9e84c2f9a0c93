"""The PACS of a drill: keeps what it is sent, promises to keep it, and loses it when told to."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import
from pynetdicom.transport import ThreadedAssociationServer

from lightbox.deliver.connection import RequestingEntity
from lightbox.domain.commitment import NO_SUCH_INSTANCE, PUSH_MODEL, PUSH_MODEL_INSTANCE

AE_TITLE = "DRILL_PACS"


class Pacs:
    """Listens on entering, stops on leaving; what it keeps is in memory.

    Parameters
    ----------
    port : int
        Where it listens, on loopback; the same after a stop.
    service_port : int
        Where the service listens for reports of storage commitment.
    service_ae : str
        The service's AE title.

    Attributes
    ----------
    received : list of (str, str)
        Study and SOP Instance UID of each C-STORE that it answered with success.
    """

    def __init__(self, port: int, service_port: int, service_ae: str) -> None:
        self.port = port
        self._service = (service_port, service_ae)
        self.received: list[tuple[str, str]] = []
        self._kept: set[str] = set()
        self._loses: dict[str, int] = {}
        self._mute: dict[str, int] = {}
        self._server: ThreadedAssociationServer | None = None
        self._asked: queue.SimpleQueue[Dataset | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._reporter = threading.Thread(target=self._report, name="drill-pacs", daemon=True)

    def __enter__(self) -> Self:
        self._reporter.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._asked.put(None)
        self._reporter.join(10)

    def start(self) -> None:
        """Listen."""
        ae = AE(AE_TITLE)
        ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(str(context.abstract_syntax))
        ae.add_supported_context(PUSH_MODEL)
        self._server = ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_N_ACTION, self._on_action)],
        )

    def stop(self) -> None:
        """Stop listening; nothing happens where it does not run."""
        if self._server is not None:
            self._server.ae.shutdown()
            self._server = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """Be away for the time of a block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def lose(self, study: str, times: int) -> None:
        """Answer success for this study's objects, and keep none of them, so many times each."""
        self._loses[study] = times

    def be_silent(self, study: str, reports: int) -> None:
        """Send no report for the next questions about this study."""
        self._mute[study] = reports

    def of(self, *studies: str) -> list[str]:
        """Return the SOP Instance UIDs that came of these studies, in order, repetitions too."""
        with self._lock:
            return [uid for study, uid in self.received if study in studies]

    def keeps(self, sop_instance_uid: str) -> bool:
        """Say whether it still holds an object."""
        with self._lock:
            return sop_instance_uid in self._kept

    def _on_store(self, event: evt.Event) -> int:
        dataset = event.dataset
        study, uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
        with self._lock:
            self.received.append((study, uid))
            times = Counter(seen for _, seen in self.received)[uid]
            if times > self._loses.get(study, 0):
                self._kept.add(uid)
        return 0x0000

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        self._asked.put(event.action_information)
        return 0x0000, None

    def _report(self) -> None:
        while (asked := self._asked.get()) is not None:
            references = list(asked.ReferencedSOPSequence)
            with self._lock:
                studies = {
                    study
                    for study, uid in self.received
                    if any(uid == each.ReferencedSOPInstanceUID for each in references)
                }
            silent = [study for study in studies if self._mute.get(study, 0) > 0]
            for study in silent:
                self._mute[study] -= 1
            if not silent:
                self._send(_answer(asked, self.keeps))

    def _send(self, answer: Dataset) -> None:
        ae = RequestingEntity(AE_TITLE)
        ae.add_requested_context(PUSH_MODEL)
        port, called = self._service
        association = ae.associate(
            "127.0.0.1", port, ae_title=called, ext_neg=[build_role(PUSH_MODEL, scp_role=True)]
        )
        if not association.is_established:
            return  # a PACS would try again; ours leaves that to whoever waits for the report
        event_type = 2 if "FailedSOPSequence" in answer else 1
        association.send_n_event_report(answer, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()


def _answer(asked: Dataset, keeps: Callable[[str], bool]) -> Dataset:
    """Return the report: what is kept, and what is not (PS3.4 J.3.3)."""
    answer = Dataset()
    answer.TransactionUID = asked.TransactionUID
    kept: list[Dataset] = []
    lost: list[Dataset] = []
    for each in asked.ReferencedSOPSequence:
        (kept if keeps(each.ReferencedSOPInstanceUID) else lost).append(each)
    for each in lost:
        each.FailureReason = NO_SUCH_INSTANCE
    if kept:
        answer.ReferencedSOPSequence = kept
    if lost:
        answer.FailedSOPSequence = lost
    return answer
