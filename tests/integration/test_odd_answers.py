"""Peers that freeze, break off, answer twice or the wrong thing: no result waits for what cannot come."""

from __future__ import annotations

import errno
import io
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from pydicom import Dataset
from pynetdicom import dimse_messages

from builders import a_result_file
from called_peer import CLASS, SYNTAX, TAKES_16_KB, Called, Play, answer, playing
from lightbox.deliver.association import Association, Peer, Response
from lightbox.deliver.commitment.wire import CommitmentAsker
from lightbox.deliver.cstore import CStore
from lightbox.deliver.status import NETWORK, DestinationError, Network
from lightbox.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Reference
from lightbox.settings import DestinationSettings
from raw_peer import PATIENCE, command, item, p_data, pdu, pdv, us

ANSWER_SECONDS = 1.0
LARGE = 20_000_000
"""Bytes: more than the kernel takes at once."""

A_RELEASE_RQ, A_RELEASE_RP, NO_PDU = pdu(5, bytes(4)), pdu(6, bytes(4)), pdu(9, bytes(4))
TAKES_ANY = item(0x51, bytes(4))
SAYS_NOTHING = b""


T = TypeVar("T")


def a_peer(port: int, seconds: float = ANSWER_SECONDS) -> Peer:
    return Peer("pacs", "PACS", "127.0.0.1", port, "LIGHTBOX", 1.0, seconds)


def associate(port: int, seconds: float = ANSWER_SECONDS) -> Association:
    return Association(a_peer(port, seconds), [(CLASS, SYNTAX)])


def in_time(do: Callable[[], T], seconds: float = 10.0) -> T:
    """Do it, and fail where it takes longer: for ever would end no test."""
    outcome: list[T] = []
    errors: list[DestinationError] = []

    def run() -> None:
        try:
            outcome.append(do())
        except DestinationError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive()
    if errors:
        raise errors[0]
    return outcome[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / a_result_file(tmp_path).path


@pytest.fixture
def large(file: Path) -> Path:
    found = file.with_name("large.dcm")
    found.write_bytes(file.read_bytes() + struct.pack("<HH2sxxL", 0x7FE1, 0x10, b"OB", LARGE))
    with found.open("ab") as opened:
        opened.write(bytes(LARGE))
    return found


# ------------------------------------------------------------------------------------------- silence
def freezing(peer: Called) -> None:
    peer.accept()
    peer.wait()


def freezing_in_an_answer(peer: Called) -> None:
    peer.accept()
    peer.send(answer(peer.request())[:50])
    peer.wait()


def freezing_in_the_acceptance(peer: Called) -> None:
    peer.send(peer.acceptance()[:4])
    peer.wait()


def test_a_peer_that_reads_no_further_is_left_in_time(large: Path) -> None:
    with playing(freezing) as port:
        association = associate(port)
        with pytest.raises(DestinationError) as caught:
            in_time(lambda: association.store(large))
        in_time(association.close)
    assert caught.value.reason == NETWORK[Network.NO_ANSWER].meaning


def test_a_peer_that_stops_inside_of_its_answer_is_left_in_time(file: Path) -> None:
    with playing(freezing_in_an_answer) as port:
        association = associate(port)
        with pytest.raises(DestinationError) as caught:
            in_time(lambda: association.store(file))
        in_time(association.close)
    assert caught.value.reason == NETWORK[Network.NO_ANSWER].meaning


def test_a_peer_that_stops_inside_of_its_acceptance_is_left_in_time() -> None:
    with (
        playing(freezing_in_the_acceptance) as port,
        pytest.raises(DestinationError, match=NETWORK[Network.NO_ANSWER].meaning),
    ):
        in_time(lambda: associate(port))


def test_closing_does_not_wait_the_time_of_answers_for_a_release() -> None:
    with playing(freezing) as port:
        association = associate(port, 30.0)
        in_time(association.close)


# ----------------------------------------------------------------------------------- no answer can come
def releasing(peer: Called) -> None:
    """As an archive does whose time for idle associations ends while our result is on its way."""
    peer.accept()
    peer.request()
    peer.send(A_RELEASE_RQ)
    peer.read()


def breaking_the_protocol(peer: Called) -> None:
    peer.accept()
    peer.request()
    peer.send(NO_PDU)
    peer.wait()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("play", [releasing, breaking_the_protocol])
def test_who_can_get_no_answer_any_more_does_not_wait_for_it(file: Path, play: Play) -> None:
    with playing(play) as port:
        association = associate(port, 30.0)
        with pytest.raises(DestinationError, match=NETWORK[Network.LOST].meaning):
            in_time(lambda: association.store(file))
        association.close()


# ------------------------------------------------------------------------------------ whose answer it is
def test_a_second_answer_to_one_result_is_not_the_answer_to_the_next(file: Path) -> None:
    def play(peer: Called) -> None:
        peer.accept()
        for _ in range(20):
            first = peer.request()
            peer.send(answer(first) + answer(first))
            peer.send(answer(peer.request(), 0xC000))
        peer.wait()

    with playing(play) as port:
        association = associate(port, 5.0)
        for _ in range(20):
            assert association.store(file) == Response(0)
            assert association.store(file) == Response(0xC000)
        association.cut()
        association.close()


class _Failing(io.BytesIO):
    """A file whose disk fails when two pieces are out."""

    pieces = 0

    def read(self, size: int | None = -1) -> bytes:
        self.pieces += 1
        if self.pieces == 3:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_nothing_follows_a_file_that_broke_off_on_its_way(
    large: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lenient peer would take both together for one object, and answer with success."""

    def play(peer: Called) -> None:
        peer.accept()
        peer.send(answer(peer.request()) + answer(2))

    with playing(play) as port:
        association = associate(port, 5.0)
        with monkeypatch.context() as patched:
            failing = _Failing(large.read_bytes()[: 10**6])
            patched.setattr(dimse_messages, "open", lambda *_: failing, raising=False)
            with pytest.raises(OSError, match="Input/output"):
                association.store(large)
        with pytest.raises(DestinationError, match=NETWORK[Network.LOST].meaning):
            in_time(lambda: association.store(file))
        association.close()


def test_an_answer_to_a_message_that_was_not_sent_is_none(file: Path) -> None:
    def play(peer: Called) -> None:
        peer.accept()
        peer.send(answer(peer.request() + 1))
        peer.wait()

    with playing(play) as port:
        association = associate(port)
        with pytest.raises(DestinationError, match=NETWORK[Network.NO_ANSWER].meaning):
            in_time(lambda: association.store(file))
        association.close()


def test_reports_between_questions_hold_nobody() -> None:
    """The peer reports before it answers: its report is served while the sender waits."""
    questions = 50
    report = p_data(
        pdv(
            1,
            3,
            command(
                _0002=PUSH_MODEL.encode(),
                _0100=us(0x0100),
                _0110=us(7),
                _0800=us(1),
                _1000=PUSH_MODEL_INSTANCE.encode(),
                _1002=us(1),
            ),
        ),
        pdv(1, 2, struct.pack("<HH2sH", 0x0008, 0x1195, b"UI", 6) + b"1.2.3\0"),
    )

    def play(peer: Called) -> None:
        peer.accept()
        for _ in range(questions):
            asked = peer.request()
            peer.send(report)
            peer.request()
            peer.send(answer(asked, kind=0x8130))
        peer.wait()

    asked = Dataset()
    asked.TransactionUID = "1.2.3"
    with playing(play) as port:
        contexts = [(PUSH_MODEL, SYNTAX)]
        association = Association(a_peer(port, 5.0), contexts, reported=lambda _: 0x0000)

        def ask() -> list[int]:
            about = (PUSH_MODEL, PUSH_MODEL_INSTANCE)
            return [association.action(asked, *about).status for _ in range(questions)]

        assert in_time(ask, 30.0) == [0] * questions
        association.cut()
        association.close()


# --------------------------------------------------------------------------------------- how fast it goes
@pytest.mark.parametrize("longest", [TAKES_16_KB, TAKES_ANY, SAYS_NOTHING])
def test_a_slow_line_is_no_missing_answer(large: Path, longest: bytes) -> None:
    """20 MB take 2.5 s, and the answer has to come 1 s after the last piece."""

    def play(peer: Called) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        peer.accept(longest)
        pause, left = threading.Event(), LARGE
        while left > 0:
            piece = len(peer.socket.recv(2**16))
            left -= piece
            pause.wait(piece * 2.5 / LARGE)
        peer.send(answer(1))
        peer.wait()

    with playing(play) as port:
        association = associate(port)
        assert in_time(lambda: association.store(large), 30.0) == Response(0)
        association.cut()
        association.close()


# ------------------------------------------------------------------------------------------------ an end
def test_closing_while_the_association_is_requested_leaves_none_open(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def play(peer: Called) -> None:
        acceptance = peer.acceptance()
        asked.set()
        go_on.wait(PATIENCE)
        peer.send(acceptance)
        seen.append(peer.read()[0])
        peer.send(A_RELEASE_RP)

    with playing(play) as port:
        settings = DestinationSettings(name="pacs", ae_title="PACS", port=port)
        destination = CStore(settings, "LIGHTBOX", tmp_path)
        result = a_result_file(tmp_path)
        caught: list[DestinationError] = []

        def send() -> None:
            with pytest.raises(DestinationError) as error:
                destination.send(result)
            caught.append(error.value)

        sending = threading.Thread(target=send)
        sending.start()
        assert asked.wait(PATIENCE)
        destination.close()
        go_on.set()
        sending.join(PATIENCE)
    assert caught[0].reason == NETWORK[Network.LOST].meaning
    assert seen == [5]  # A-RELEASE-RQ


def test_closing_does_not_wait_for_an_archive_that_says_nothing_to_a_question() -> None:
    asked = threading.Event()

    def play(peer: Called) -> None:
        peer.context = 3  # behind that of C-ECHO
        peer.accept()
        peer.request()
        asked.set()
        peer.wait()

    with playing(play) as port:
        asker = CommitmentAsker(a_peer(port, 30.0), lambda _: None)

        def ask() -> None:
            with pytest.raises(DestinationError, match=NETWORK[Network.LOST].meaning):
                asker.ask("1.2.3", [Reference(CLASS, "1.2.3.4")])

        asking = threading.Thread(target=ask)
        asking.start()
        assert asked.wait(PATIENCE)
        in_time(asker.close)
        asking.join(PATIENCE)
        assert not asking.is_alive()


def test_an_open_association_keeps_no_process_from_ending() -> None:
    with playing(freezing) as port:
        before = set(threading.enumerate())
        association = associate(port)
        mine = set(threading.enumerate()) - before
        assert mine
        assert all(thread.daemon for thread in mine)
        association.cut()
        association.close()
