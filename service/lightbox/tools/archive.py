"""A small archive of ours: a storage SCP that keeps files, and whose answers tests can script."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydicom import Dataset, dcmread
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import
from pynetdicom.transport import ThreadedAssociationServer

from lightbox.tools.orthanc import Stored


class Do(StrEnum):
    """What a scripted archive does with an instance."""

    ANSWER = "answer"
    """Keep it on success or warning, and answer with the status."""
    ABORT = "abort"
    """Break the association without an answer; nothing is kept."""
    STORE_AND_ABORT = "store and abort"
    """Keep it, but let the answer be lost."""
    SILENT = "silent"
    """Keep nothing and give no answer until the archive stops."""
    FORGET = "forget"
    """Answer success and keep nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer."""

    status: int = 0x0000
    comment: str = ""
    do: Do = Do.ANSWER


class Archive:
    """Answers on entering, stops on leaving; what it keeps stays in the folder.

    Parameters
    ----------
    folder : Path
        For its files, one per SOP Instance UID.
    ae_title : str
        Its AE title; other called titles are rejected.
    refuses : tuple of str
        SOP classes whose presentation contexts it refuses.
    knows : tuple of str
        Calling AE titles that it accepts; empty: any.
    syntaxes : tuple of str
        Transfer syntaxes that it accepts; empty: all.
    """

    http_url = ""
    stow_url = ""

    def __init__(
        self,
        folder: Path,
        ae_title: str = "ARCHIVE",
        refuses: tuple[str, ...] = (),
        knows: tuple[str, ...] = (),
        syntaxes: tuple[str, ...] = (),
    ) -> None:
        self.ae_title = ae_title
        self.dicom_port = 0
        self.received: list[str] = []
        self.associations = 0
        self._folder = folder
        self._refuses = refuses
        self._knows = knows
        self._syntaxes = list(syntaxes) or list(AllTransferSyntaxes)
        self._script: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._arrived = threading.Condition()
        self._server: ThreadedAssociationServer | None = None
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after a stop on the same port again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        ae = AE(ae_title=self.ae_title)
        ae.require_called_aet = True
        ae.require_calling_aet = list(self._knows)
        ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax not in self._refuses:
                ae.add_supported_context(str(context.abstract_syntax), self._syntaxes)
        server = ae.start_server(
            ("127.0.0.1", self.dicom_port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_ACCEPTED, self._on_accepted)],
        )
        if server is None:
            raise RuntimeError("pynetdicom started no server")
        self._server = server
        self.dicom_port = int(server.server_address[1])

    def stop(self) -> None:
        """Stop listening and end all associations; nothing happens where it does not run."""
        self._stopping.set()
        if self._server is not None:
            self._server.ae.shutdown()
            self._server = None

    @property
    def open_associations(self) -> int:
        """How many associations peers hold now."""
        return len(self._server.active_associations) if self._server else 0

    def script(self, *replies: Reply) -> None:
        """Answer the next instances like this, then again with success."""
        for reply in replies:
            self._script.put(reply)

    def instances(self) -> list[Stored]:
        """Return what it holds, in the order of arrival."""
        files = sorted(self._folder.glob("*.dcm"), key=lambda f: f.stat().st_mtime_ns)
        headers = (dcmread(f, stop_before_pixels=True) for f in files)
        return [
            Stored(str(h.SOPInstanceUID), str(h.SOPClassUID), str(h.get("StudyInstanceUID", "")))
            for h in headers
        ]

    def file(self, sop_instance_uid: str) -> bytes:
        """Return the file of an instance.

        Raises
        ------
        FileNotFoundError
            If it does not hold the instance.
        """
        return self._path(sop_instance_uid).read_bytes()

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until so many instances were sent, scripted failures included."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.received) >= count, seconds)

    def _path(self, sop_instance_uid: str) -> Path:
        return self._folder / f"{''.join(c for c in sop_instance_uid if c in '0123456789.')}.dcm"

    def _on_accepted(self, _: evt.Event) -> None:
        self.associations += 1

    def _on_store(self, event: evt.Event) -> Dataset:
        reply = Reply() if self._script.empty() else self._script.get()
        uid = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
        kept = reply.status == 0x0000 or reply.status & 0xF000 == 0xB000
        if (reply.do is Do.ANSWER and kept) or reply.do is Do.STORE_AND_ABORT:
            self._path(uid).write_bytes(event.encoded_dataset())
        with self._arrived:
            self.received.append(uid)
            self._arrived.notify_all()
        if reply.do is Do.SILENT:
            self._stopping.wait()
        if reply.do in (Do.ABORT, Do.STORE_AND_ABORT):
            event.assoc.abort()
        answer = Dataset()
        answer.Status = reply.status
        if reply.comment:
            answer.ErrorComment = reply.comment
        return answer
