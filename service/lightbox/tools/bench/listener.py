"""Our listener as a process of its own, with its memory, and a good sender that never stops."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Self

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage

from lightbox.app.clock import SystemClock
from lightbox.domain.errors import UsageError
from lightbox.ports import Clock
from lightbox.tools.bench import sender
from lightbox.tools.bench.receivers import listening, peak_memory
from lightbox.tools.orthanc import free_port

CALLED = "LIGHTBOX"
VERIFICATION = "1.2.840.10008.1.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_GLANCE = 0.05
_PATIENCE = 10.0
_PAUSE = 0.02
_LONGEST = 16_384


@dataclass(frozen=True, slots=True)
class Listener:
    """A running ``lightbox serve --role receive``.

    Attributes
    ----------
    tls : ssl.SSLContext or None
        For a client that it accepts; None: it has no TLS port.
    """

    port: int
    tls_port: int
    tls: ssl.SSLContext | None
    data: Path
    process: subprocess.Popen[bytes]

    def memory(self) -> float:
        """Return the most resident memory that the process ever had, MiB."""
        return peak_memory(self.process.pid) / 2**20


@contextmanager
def listener(folder: Path, limits: str = "", *, tls: bool = False) -> Iterator[Listener]:
    """Start our listener with the defaults, and more keys where ``limits`` (TOML) has some.

    Raises
    ------
    UsageError
        If it does not start.
    """
    port, tls_port = free_port(), free_port()
    folder.mkdir(parents=True)
    context, secured = _certificates(folder, tls_port) if tls else (None, "")
    site = folder / "site"
    with listening(site, port, f"{limits}\n{secured}") as process:
        yield Listener(port, tls_port, context, site / "data", process)


def _certificates(folder: Path, port: int) -> tuple[ssl.SSLContext, str]:
    """Make a certificate that signs itself, for both sides; return a client's context and TOML."""
    if shutil.which("openssl") is None:
        raise UsageError("openssl", "is not installed", "apt-get install openssl")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    made = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=bench", "-days", "2",
            "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
    subprocess.run(["openssl", *made], check=True, capture_output=True)  # noqa: S603, S607  # fixed
    context = ssl.create_default_context(cafile=str(certificate))
    context.load_cert_chain(certificate, key)
    return context, (
        f"[dicom.tls]\nport = {port}\ncertificate = {json.dumps(str(certificate))}\n"
        f"key = {json.dumps(str(key))}\nca = {json.dumps(str(certificate))}\n"
    )


class Line:
    """A connection of a sender, by hand: nothing of it is slow, and all of it can be wrong."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def associate(self, sop_class_uid: str) -> None:
        """Open an association with one context.

        Raises
        ------
        ConnectionError
            If it is refused.
        """
        self.socket.sendall(sender.associate_rq(CALLED, sop_class_uid))
        kind, body = self.pdu()
        if kind != 2 or not sender.accepted_length(body):
            raise ConnectionError(f"refused (PDU {kind})")

    def command(self, command: bytes, data_set: bytes = b"") -> int:
        """Send a command and its data set; return the status of the answer.

        Raises
        ------
        ConnectionError
            If there is none.
        """
        pdus = sender.p_data(command, command=True, longest=_LONGEST)
        if data_set:
            pdus += sender.p_data(data_set, command=False, longest=_LONGEST)
        self.socket.sendall(pdus)
        kind, body = self.pdu()
        if kind != 4:
            raise ConnectionError(f"aborted (PDU {kind})")
        return sender.status_of(body)

    def pdu(self) -> tuple[int, bytes]:
        """Read the next PDU: its type and its body."""
        head = self._exactly(6)
        return head[0], self._exactly(int.from_bytes(head[2:6], "big"))

    def _exactly(self, length: int) -> bytes:
        found = bytearray()
        while len(found) < length:
            piece = self.socket.recv(length - len(found))
            if not piece:
                raise ConnectionError("closed")
            found += piece
        return bytes(found)


def fragment(data: bytes, *, is_last: bool) -> bytes:
    """Return a P-DATA-TF of one fragment of a data set (PS3.8 9.3.5, E.2)."""
    flags = 2 if is_last else 0
    return struct.pack(">BBLLBB", 4, 0, len(data) + 6, len(data) + 2, 1, flags) + data


def echo_rq() -> bytes:
    """Return the command set of a C-ECHO-RQ, Implicit VR Little Endian (PS3.7 9.3.5.1)."""
    sop_class = VERIFICATION.encode() + b"\0"
    elements = struct.pack("<HHL", 0, 0x0002, len(sop_class)) + sop_class
    for number, value in ((0x0100, 0x0030), (0x0110, 1), (0x0800, 0x0101)):
        elements += struct.pack("<HHLH", 0, number, 2, value)
    return struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements


@dataclass
class GoodSender:
    """Asks C-ECHO by a new association again and again, and stores an instance now and then.

    Parameters
    ----------
    to : Listener
        Whom.
    is_tls : bool
        Whether by its TLS port.

    Attributes
    ----------
    seconds : list of float
        From the connection to the answer, of each C-ECHO that was answered.
    served : list of bool
        Of each C-ECHO and C-STORE, whether it was answered with success.
    """

    to: Listener
    is_tls: bool = False
    seconds: list[float] = field(default_factory=list)
    served: list[bool] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _clock: Clock = field(default_factory=SystemClock)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Send until the block ends."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def begin(self) -> None:
        """Count from now on."""
        self.seconds.clear()
        self.served.clear()

    def _work(self) -> None:
        for number in count():
            self._attempt(self._echo)
            if number % 8 == 0:
                self._attempt(partial(self._store, number))
            if self._over.wait(_PAUSE):
                return

    def _attempt(self, work: Callable[[], int]) -> None:
        status = -1
        with suppress(OSError):
            status = work()
        self.served.append(status == 0)

    def _line(self) -> Line:
        return Line(self.to.tls_port, self.to.tls) if self.is_tls else Line(self.to.port)

    def _echo(self) -> int:
        began = self._clock.monotonic()
        with self._line() as line:
            line.associate(VERIFICATION)
            status = line.command(echo_rq())
        self.seconds.append(self._clock.monotonic() - began)
        return status

    def _store(self, number: int) -> int:
        uid = sender.uid_of(99, number)
        with self._line() as line:
            line.associate(CTImageStorage)
            return line.command(sender.store_rq(CTImageStorage, uid), small(uid))


def small(sop_instance_uid: str, sop_class_uid: str = CTImageStorage) -> bytes:
    """Return the data set of an instance without pixels, Explicit VR Little Endian."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, sop_instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = sender.uid_of(1, 0), sender.uid_of(2, 0)
    encoded = BytesIO()
    dcmwrite(encoded, dataset, implicit_vr=False, little_endian=True)
    return encoded.getvalue()
