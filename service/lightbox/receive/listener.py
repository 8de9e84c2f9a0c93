"""The port: accepts connections, gives each a thread, and ends them in good order."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from lightbox.domain.errors import cannot_listen
from lightbox.ports import Clock, Ledger
from lightbox.receive.commitment import JudgeHere, elsewhere
from lightbox.receive.limits import Admission, Memory
from lightbox.receive.store import Store
from lightbox.receive.wire.association import Association, Surroundings
from lightbox.receive.wire.observation import Observation
from lightbox.receive.wire.pdu import Wire
from lightbox.receive.wire.tls import Certificates
from lightbox.settings import Dicom

_BACKLOG = 512
_STACK = 512 * 1024
_IDLE_CONNECTIONS = 512
_LOOPBACK = "127.0.0.1"


class Listener:
    """Answers on the DICOM port.

    Parameters
    ----------
    settings : Dicom
        Section ``[dicom]``.
    store : Store
        The door that instances go through.
    ledger : Ledger
        Where the end of associations is recorded.
    clock : Clock
        Time.
    observe : callable
        Told of what happened, from many threads; must not raise.
    judge_here : callable
        What to report about storage commitment on the association of the request, if anything.
    """

    def __init__(
        self,
        settings: Dicom,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        observe: Callable[[Observation], None],
        judge_here: JudgeHere = elsewhere,
    ) -> None:
        self._settings = settings
        self._shared = Surroundings(
            settings,
            store,
            ledger,
            clock,
            Admission(settings.max_associations, settings.limits.associations_per_peer),
            Memory(settings.limits.memory),
            observe,
            judge_here,
        )
        self._port = settings.port
        self._open: dict[Association, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._listening: list[tuple[socket.socket, threading.Thread]] = []

    def configure(self, settings: Dicom, judge_here: JudgeHere) -> None:
        """Go by other limits and AE titles from now on; open associations keep theirs.

        Address and port are those that were bound.
        """
        self._shared.admission.configure(
            settings.max_associations, settings.limits.associations_per_peer
        )
        self._shared.memory.configure(settings.limits.memory)
        self._shared = replace(self._shared, settings=settings, judge_here=judge_here)
        self._settings = settings

    @property
    def port(self) -> int:
        """The TCP port, also where the configuration says 0."""
        return self._port

    def start(self) -> None:
        """Bind and answer, in the clear and, where there is a certificate, over TLS.

        Where TLS is all that guards the service, plain DICOM is answered on this machine only.

        Raises
        ------
        ConfigurationError
            If a port cannot be had, or a certificate cannot be used.
        """
        secure = Certificates(self._settings.tls) if self._settings.tls.certificate else None
        settings = self._settings
        guarded = settings.accept_calling or settings.insecure or secure is None
        in_clear = (settings.host if guarded else _LOOPBACK, settings.port)
        self._port = self._listen("dicom.port", in_clear, None)
        if secure is not None:
            over_tls = (settings.host, settings.tls.port)
            self._listen("dicom.tls.port", over_tls, secure)

    def drain(self, seconds: float) -> None:
        """Stop accepting; finish and answer the instances in hand; end all associations.

        Parameters
        ----------
        seconds : float
            The longest that this may take; what is not done then is cut.
        """
        self._stopping.set()
        for listening, thread in self._listening:
            with suppress(OSError):  # nobody listened any more
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            listening.close()
        self._listening.clear()
        deadline = time.monotonic() + seconds
        with self._lock:
            running = dict(self._open)
        for association in running:
            association.drain()
        for thread in running.values():
            thread.join(max(deadline - time.monotonic(), 0))

    def _listen(self, key: str, address: tuple[str, int], secure: Certificates | None) -> int:
        listening = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError as error:
            listening.close()
            raise cannot_listen(key, address[1], address[0], error) from error
        listening.listen(_BACKLOG)
        thread = threading.Thread(
            target=self._accept, args=(listening, secure), name=key, daemon=True
        )
        self._listening.append((listening, thread))
        thread.start()
        return int(listening.getsockname()[1])

    def _accept(self, listening: socket.socket, secure: Certificates | None) -> None:
        threading.stack_size(_STACK)
        while not self._stopping.is_set():
            try:
                connection, address = listening.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._stopping.wait(0.05)  # until some connection ends
                continue
            if len(self._open) >= self._settings.max_associations + _IDLE_CONNECTIONS:
                connection.close()
                continue
            try:
                self._begin(connection, str(address[0]), secure)
            except (OSError, RuntimeError):  # it is gone already, or no thread can be had
                connection.close()

    def _begin(self, connection: socket.socket, peer: str, secure: Certificates | None) -> None:
        context = secure.context() if secure is not None else None
        wire = Wire(connection, self._settings.limits.pdu_time)
        association = Association(wire, peer, context, self._shared)
        thread = threading.Thread(target=self._run, args=(association,), daemon=True)
        with self._lock:
            thread.start()
            self._open[association] = thread

    def _run(self, association: Association) -> None:
        try:
            association.run()
        finally:
            with self._lock:
                del self._open[association]
