"""The TLS port of the listener: who is let in, and that nobody there holds anything up."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import raw_peer as raw
from certificates import Authority, Signed
from lightbox.receive.wire.pdu import ClosedError, Wire
from lightbox.settings import Dicom, Limits, Tls
from lightbox.tools.orthanc import free_port
from listening import PATIENCE, Running, listening
from raw_peer import RawPeer

REFUSED = (ssl.SSLError, ConnectionError)
EVERYTHING = "ALL:@SECLEVEL=0"
NO_AEAD = "ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def peers(authority: Authority) -> Signed:
    return authority.sign("RAW")


@pytest.fixture
def secure(authority: Authority, tmp_path: Path) -> Iterator[tuple[Running, int]]:
    ours = authority.sign("localhost", "IP:127.0.0.1")
    tls = Tls(
        port=free_port(),
        certificate=str(ours.certificate),
        key=str(ours.key),
        ca=str(authority.ca),
    )
    limits = Limits(pdu_time=0.5, idle=0.5, handshake=PATIENCE)
    with listening(tmp_path / "data", Dicom(tls=tls, limits=limits)) as it:
        yield it, tls.port


def context_of(authority: Authority, certificate: Signed | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def echo(port: int, context: ssl.SSLContext) -> int:
    with RawPeer(port) as peer:
        peer.socket = context.wrap_socket(peer.socket)
        peer.associate()
        return peer.echo()


def ask_for_ever(peer: RawPeer) -> None:
    while True:
        peer.send(raw.p_data(raw.pdv(1, 3, raw.c_echo())) * 1000)


def older(context: ssl.SSLContext) -> None:
    context.set_ciphers(EVERYTHING)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1


def unauthenticated(context: ssl.SSLContext) -> None:
    context.set_ciphers(NO_AEAD)
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def at_most_1_2(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("weaken", [older, unauthenticated])
def test_tls_before_1_2_and_ciphers_that_do_not_authenticate_are_refused(
    secure: tuple[Running, int],
    authority: Authority,
    peers: Signed,
    weaken: Callable[[ssl.SSLContext], None],
) -> None:
    context = context_of(authority, peers)
    weaken(context)
    with pytest.raises(REFUSED):
        echo(secure[1], context)


@pytest.mark.parametrize("limit", [None, at_most_1_2])
def test_tls_1_2_and_1_3_are_served(
    secure: tuple[Running, int],
    authority: Authority,
    peers: Signed,
    limit: Callable[[ssl.SSLContext], None] | None,
) -> None:
    context = context_of(authority, peers)
    if limit is not None:
        limit(context)
    assert echo(secure[1], context) == 0


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_a_peer_without_a_certificate_of_our_authority_is_refused(
    secure: tuple[Running, int], authority: Authority, tmp_path: Path, who: str
) -> None:
    certificate = None if who == "nobody" else Authority(tmp_path / "other").sign("RAW")
    with pytest.raises(REFUSED):
        echo(secure[1], context_of(authority, certificate))


def test_an_end_does_not_wait_for_a_client_that_is_silent_on_the_tls_port(
    secure: tuple[Running, int],
) -> None:
    it, port = secure
    silent = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with closing(silent):
        ended = threading.Thread(target=it.listener.drain, args=(PATIENCE,))
        began = time.monotonic()
        ended.start()
        ended.join(PATIENCE)
        assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_peer_that_takes_no_answer_is_given_up(
    secure: tuple[Running, int], authority: Authority, peers: Signed, *, over_tls: bool
) -> None:
    it, port = secure
    with RawPeer(port if over_tls else it.port) as peer:
        if over_tls:
            peer.socket = context_of(authority, peers).wrap_socket(peer.socket)
        peer.associate()
        with pytest.raises(REFUSED):
            ask_for_ever(peer)
    it.wait_for_status("lost")


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_peer_may_be_idle_for_longer_than_it_may_take_to_read_an_answer(
    authority: Authority, peers: Signed, *, over_tls: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(peers.certificate, peers.key)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        RawPeer(server.getsockname()[1]) as peer,
    ):
        wire = Wire(server.accept()[0], 0.2)
        with closing(wire):
            if over_tls:
                handshake = threading.Thread(target=wire.secure, args=(context, PATIENCE))
                handshake.start()
                peer.socket = context_of(authority, None).wrap_socket(peer.socket)
                handshake.join()
            peer.send(raw.pdu(4, b""))
            wire.header(600.0)
            began = time.monotonic()
            with pytest.raises(ClosedError):
                wire.send(bytes(64 * 2**20))
            assert time.monotonic() - began < PATIENCE
