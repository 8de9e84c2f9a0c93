"""Every row below the storage service, answered over a real socket by a peer that plays it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lightbox.deliver.association import VERIFICATION, Association, Peer
from lightbox.deliver.status import NETWORK, REJECTED, Action, DestinationError, Network
from lightbox.tools.orthanc import free_port

Play = Callable[[socket.socket], object]


@contextmanager
def playing(play: Play) -> Iterator[int]:
    """Answer every connection like this."""
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])

        def serve() -> None:
            while True:
                caller, _ = listener.accept()
                with caller:
                    if stopping.is_set():
                        return
                    play(caller)

        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        stopping.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join(10.0)
        assert not thread.is_alive()


def request(caller: socket.socket) -> bytes:
    """Read a whole PDU (PS3.8 9.3.1): nothing for a caller that only looks."""
    head = caller.recv(6, socket.MSG_WAITALL)
    if len(head) < 6 or head[0] != 0x01:
        return b""
    return head + caller.recv(struct.unpack(">I", head[2:])[0], socket.MSG_WAITALL)


def rejecting(source: int, reason: int) -> Play:
    def play(caller: socket.socket) -> None:
        if request(caller):
            caller.sendall(bytes([0x03, 0, 0, 0, 0, 4, 0, 1, source, reason]))
            caller.recv(1)

    return play


def aborting(caller: socket.socket) -> None:
    if request(caller):
        caller.sendall(bytes([0x07, 0, 0, 0, 0, 4, 0, 0, 2, 0]))
        caller.recv(1)


def hanging_up(caller: socket.socket) -> None:
    request(caller)


def silent(caller: socket.socket) -> None:
    if request(caller):
        caller.recv(1)


def why_not(port: int, host: str = "127.0.0.1", seconds: float = 5.0) -> DestinationError:
    peer = Peer("pacs", "PACS", host, port, "LIGHTBOX", 0.5, seconds)
    with pytest.raises(DestinationError) as caught:
        Association(peer, [VERIFICATION])
    return caught.value


@pytest.mark.parametrize(("source", "reason"), list(REJECTED))
def test_each_rejection_is_said_in_its_own_words(source: int, reason: int) -> None:
    with playing(rejecting(source, reason)) as port:
        error = why_not(port)
    assert error.action is Action.UNREACHABLE
    assert error.reason == REJECTED[source, reason].meaning
    assert error.mend


@pytest.mark.parametrize(
    ("play", "wanted"),
    [
        (aborting, Network.ABORTED),
        (hanging_up, Network.NOT_DICOM),
        (silent, Network.NO_ANSWER),
    ],
)
def test_each_end_of_a_connection_is_said_in_its_own_words(play: Play, wanted: Network) -> None:
    with playing(play) as port:
        error = why_not(port, seconds=0.5)
    assert error.reason == NETWORK[wanted].meaning
    assert error.action is NETWORK[wanted].action


def test_a_full_queue_a_closed_port_and_a_name_of_nobody_are_told_apart() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        callers = [socket.socket() for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        no_answer = why_not(full.getsockname()[1])
        for caller in callers:
            caller.close()
    assert no_answer.reason == NETWORK[Network.CONNECT_TIMEOUT].meaning
    assert why_not(free_port()).reason == NETWORK[Network.REFUSED].meaning
    assert why_not(104, "no-such-host.invalid").reason == NETWORK[Network.NAME_UNKNOWN].meaning
    assert why_not(104, "255.255.255.255").reason == NETWORK[Network.NO_ROUTE].meaning
