"""Below an association: what pynetdicom 3.0.4 does not do with its connection and its file."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.transport import AddressInformation, AssociationSocket

from lightbox.deliver.status import Network

# What pynetdicom says on the way out we say ourselves, with the cause and the mend; at its lower
# levels it quotes data sets.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

_log = logging.getLogger(__name__)


class RequestingEntity(AE):
    """An application entity that keeps hold of the socket of its one association.

    pynetdicom 3.0.4 does not close the socket of a connection that was refused or lost.
    """

    _raw: socket.socket | None = None

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> AssociationSocket:
        made = super()._create_socket(assoc, address, tls_args)
        self._raw = made.socket
        return made

    def cut(self) -> None:
        """End the connection; a thread that waits for an answer finds out at once."""
        if self._raw is not None:
            with suppress(OSError):  # it has ended
                self._raw.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the socket."""
        if self._raw is not None:
            self._raw.close()


def set_option(event: evt.Event, option: int) -> None:
    """Switch an option of TCP on for the connection of an event."""
    wire = event.assoc.dul.socket
    if wire is not None and wire.socket is not None:
        with suppress(OSError):  # it was closed meanwhile: whoever reads from it finds out
            wire.socket.setsockopt(socket.IPPROTO_TCP, option, 1)


@contextmanager
def even_length(file: Path) -> Iterator[Path]:
    """Give a file whose data set has an even length, as every fragment on the wire must have.

    A deflated one may have been stored without its padding byte (PS3.5 A.5); Orthanc answers an
    odd fragment with silence.
    """
    _, offset = split_dataset(file)
    if (file.stat().st_size - offset) % 2 == 0:
        yield file
        return
    with NamedTemporaryFile(prefix="lightbox-", suffix=".dcm") as padded:
        padded.write(file.read_bytes() + b"\0")
        padded.flush()
        yield Path(padded.name)


def why_none(address: str, port: int, seconds: float) -> Network:
    """Return why there is no connection, by trying once more: pynetdicom only logs the cause."""
    try:
        socket.create_connection((address, port), timeout=seconds).close()
    except ConnectionRefusedError:
        return Network.REFUSED
    except TimeoutError:
        return Network.CONNECT_TIMEOUT
    except OSError as error:
        _log.debug("no connection to %s:%d: %s", address, port, error)
        return Network.NO_ROUTE
    return Network.LOST
