"""F11, F12, F13, F15, F33: cut lines, lost answers, twins, slow lines, an end under load."""

from __future__ import annotations

import random
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import raw_peer as raw
from raw_peer import RawPeer
from receiving import NAP, PATIENCE, Receiver, names, until, wait

TAIL = raw.implicit(0x7FE00010, bytes(20_000))


def whole(uid: str) -> bytes:
    """Return all that a sender sends of one instance, association included."""
    data = raw.data_set(uid, tail=TAIL)
    fragments = [
        raw.p_data(raw.pdv(3, 0, data[at : at + 4096])) for at in range(0, len(data), 4096)
    ]
    store = raw.p_data(raw.pdv(3, 3, raw.c_store(instance=uid)))
    return b"".join(
        (raw.associate_rq(*raw.DEFAULT_CONTEXTS), store, *fragments, raw.p_data(raw.pdv(3, 2, b"")))
    )


def written(receiver: Receiver) -> list[Path]:
    """Return the files of instances that hold anything."""
    return [path for path in receiver.data.glob("instances/*/*") if path.stat().st_size]


def test_a_line_that_is_cut_after_any_byte_leaves_nothing(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    (uid,) = names(1)
    stream = whole(uid)
    places = sorted({*random.Random(11).sample(range(1, len(stream)), 60), len(stream) - 1})
    with Receiver(tmp_path / "site") as receiver:
        for place in places:
            with socket.create_connection(("127.0.0.1", receiver.port)) as line:
                line.sendall(stream[:place])
        assert receiver.echo() == 0
        until(lambda: not written(receiver))
        assert receiver.stored() == {}
        assert receiver.send([uid], TAIL) == [uid]
        receiver.assert_kept([uid])
    figure(f"cut after {len(places)} of {len(stream)} bytes, 0 left")


@pytest.mark.slow
def test_an_answer_that_is_lost_makes_no_second_instance(tmp_path: Path) -> None:
    (uid,) = names(1)
    with Receiver(tmp_path / "site") as receiver:
        with RawPeer(receiver.port) as peer:
            peer.send(whole(uid))
            until(lambda: uid in receiver.stored())
        for _ in range(3):
            assert receiver.send([uid], TAIL) == [uid]
        assert len(written(receiver)) == 1
        code, proof, _ = receiver.ledger("check")
        assert (code, proof["accepted"], proof["files"]) == (0, 1, 1)


@pytest.mark.slow
def test_other_bytes_under_the_same_uid_are_kept_beside_the_first(tmp_path: Path) -> None:
    (uid,) = names(1)
    with Receiver(tmp_path / "site") as receiver:
        for tail in (TAIL, raw.implicit(0x7FE00010, b"other"), TAIL):
            assert receiver.send([uid], tail) == [uid]
        assert len(written(receiver)) == 2
        code, proof, _ = receiver.ledger("check")
        assert (code, proof["accepted"], proof["files"]) == (0, 2, 2)


@pytest.mark.slow
def test_a_slow_line_that_moves_is_served_to_its_end(tmp_path: Path) -> None:
    """The whole instance takes eight times the longest silence that is allowed."""
    (uid,) = names(1)
    limits = "[dicom.limits]\npdu_time = 1.0\nhandshake = 10.0"
    with Receiver(tmp_path / "site", limits) as receiver, RawPeer(receiver.port) as peer:
        peer.associate()
        stream = whole(uid)[len(raw.associate_rq(*raw.DEFAULT_CONTEXTS)) :]
        step = -(-len(stream) // 40)
        for at in range(0, len(stream), step):
            peer.send(stream[at : at + step])
            wait(0.2)
        assert peer.status() == 0
        receiver.assert_kept([uid])


def test_an_end_under_load_answers_whatever_it_stored(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    lots = [names(4000, str(sender)) for sender in range(8)]
    with Receiver(tmp_path / "site") as receiver, ThreadPoolExecutor(len(lots)) as senders:
        sent = [senders.submit(receiver.send, lot, TAIL) for lot in lots]
        until(lambda: len(written(receiver)) > 40)
        assert receiver.process is not None
        receiver.process.send_signal(signal.SIGTERM)
        assert receiver.process.wait(30) == 0
        answered = {uid for each in sent for uid in each.result()}
        stored = set(receiver.stored())
        assert 40 < len(stored) < sum(map(len, lots))
        assert stored == answered  # none is stored and not answered, none answered and not stored
        receiver.start()
        receiver.assert_kept(sorted(answered))
    figure(f"{len(stored)} stored of 8 associations, 0 of them without an answer")


@pytest.mark.slow
def test_five_hundred_that_trickle_keep_nobody_out(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    limits = "[dicom.limits]\nhandshake = 3.0"
    done = threading.Event()
    with Receiver(tmp_path / "site", limits) as receiver:
        lines = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(500)]

        def trickle() -> None:
            """Send a byte of a request now and then, as long as somebody takes it."""
            request = raw.associate_rq(*raw.DEFAULT_CONTEXTS)
            for byte in request:
                for line in lines:
                    try:
                        line.send(bytes([byte]))
                    except OSError:
                        continue
                if done.wait(1.0):
                    return

        with ThreadPoolExecutor(1) as pool:
            pool.submit(trickle)
            try:
                for number in range(20):
                    assert receiver.send(names(1, str(number))) == names(1, str(number))
                    wait(NAP)
                until(lambda: all(map(is_closed, lines)), PATIENCE)
            finally:
                done.set()
                for line in lines:
                    line.close()
    figure("500 lines of a byte a second: 20 of 20 good senders served, all 500 closed")


def is_closed(line: socket.socket) -> bool:
    """Say whether the other side has closed."""
    line.setblocking(False)
    try:
        return line.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
