"""The port: accepts connections, gives each a thread, and ends them in good order."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from lightbox.domain.errors import ConfigurationError
from lightbox.ports import Clock, Ledger
from lightbox.receive.limits import Admission, Memory
from lightbox.receive.observation import Observation
from lightbox.receive.store import Store
from lightbox.receive.wire.association import Association, Surroundings
from lightbox.receive.wire.pdu import Wire
from lightbox.settings import Dicom

_BACKLOG = 512
_STACK = 512 * 1024
_IDLE_CONNECTIONS = 512


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
    """

    def __init__(
        self,
        settings: Dicom,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        observe: Callable[[Observation], None],
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
        )
        self._open: dict[Association, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._socket = socket.socket()
        self._thread = threading.Thread(target=self._accept, name="listener", daemon=True)

    @property
    def port(self) -> int:
        """The TCP port, also where the configuration says 0."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Bind and answer.

        Raises
        ------
        ConfigurationError
            If the port cannot be had, or would be open to everybody.
        """
        self._check_exposure()
        host, port = self._settings.host, self._settings.port
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise _cannot_bind(host, port, error) from error
        self._socket.listen(_BACKLOG)
        self._thread.start()

    def drain(self, seconds: float) -> None:
        """Stop accepting; finish and answer the instances in hand; end all associations.

        Parameters
        ----------
        seconds : float
            The longest that this may take; what is not done then is cut.
        """
        self._stopping.set()
        with suppress(OSError):  # it was never started
            self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self._socket.close()
        deadline = time.monotonic() + seconds
        with self._lock:
            running = dict(self._open)
        for association in running:
            association.drain()
        for thread in running.values():
            thread.join(max(deadline - time.monotonic(), 0))

    def _check_exposure(self) -> None:
        settings = self._settings
        if _is_loopback(settings.host) or settings.insecure or settings.accept_calling:
            return
        raise ConfigurationError(
            f"dicom.host {settings.host}",
            "anybody on the network could send studies",
            "list the calling AEs in dicom.accept_calling, or set dicom.insecure = true",
        )

    def _accept(self) -> None:
        threading.stack_size(_STACK)
        while not self._stopping.is_set():
            try:
                connection, address = self._socket.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._stopping.wait(0.05)  # until some connection ends
                continue
            if len(self._open) >= self._settings.max_associations + _IDLE_CONNECTIONS:
                connection.close()
                continue
            self._begin(connection, str(address[0]))

    def _begin(self, connection: socket.socket, peer: str) -> None:
        wire = Wire(connection, self._settings.limits.pdu_time)
        association = Association(wire, peer, self._shared)
        thread = threading.Thread(target=self._run, args=(association,), daemon=True)
        with self._lock:
            self._open[association] = thread
        thread.start()

    def _run(self, association: Association) -> None:
        try:
            association.run()
        finally:
            with self._lock:
                del self._open[association]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _cannot_bind(host: str, port: int, error: OSError) -> ConfigurationError:
    thing = f"dicom.port {port}"
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            thing, f"is in use on {host}", "stop the other program or choose another port"
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            thing, "is reserved for root", "choose a port of 1024 or more, such as 11112"
        )
    return ConfigurationError(
        thing, f"cannot listen on {host}: {os.strerror(error.errno or 0)}", "correct dicom.host"
    )
