from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import raw_peer as raw
from lightbox.settings import Dicom, Limits
from listening import Running, listening
from raw_peer import RawPeer, c_echo, c_store, data_set, p_data, pdu, pdv

PROVIDER = 2
UNRECOGNISED, UNEXPECTED, UNEXPECTED_PARAMETER, INVALID = 1, 2, 5, 6


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One listener for all abuse: each test ends with an echo that still works."""
    limits = Limits(pdu=2**14, message=2**20, associate=2**14)
    root = tmp_path_factory.mktemp("association") / "data"
    with listening(root, Dicom(limits=limits)) as it:
        yield it


@pytest.fixture
def peer(running: Running) -> Iterator[RawPeer]:
    with RawPeer(running.port) as it:
        yield it
    with RawPeer(running.port) as another:
        another.associate()
        assert another.echo() == 0
        another.release()


def fresh(number: int) -> str:
    return f"1.2.3.{number}"


# ---- what is right


def test_the_longest_pdu_that_we_announce_is_the_configured_one(peer: RawPeer) -> None:
    peer.send(raw.associate_rq(*raw.DEFAULT_CONTEXTS))
    kind, body = peer.read()
    assert kind == 2
    assert b"\x51\x00\x00\x04" + struct.pack(">L", 2**14) in body


def test_contexts_are_refused_one_by_one(peer: RawPeer) -> None:
    unknown = raw.context_item(1, "1.2.3.4.5.6", raw.IMPLICIT)
    no_syntax = raw.context_item(3, raw.CT_IMAGE, "1.2.840.10008.1.2.1.99")
    good = raw.context_item(5, raw.CT_IMAGE, raw.EXPLICIT)
    peer.send(raw.associate_rq(unknown, no_syntax, good))
    kind, body = peer.read()
    assert kind == 2
    answers = {body[at + 4]: body[at + 6] for at in _items(body[68:], 0x21, body)}
    assert answers == {1: 3, 3: 4, 5: 0}  # PS3.8 table 9-18


def _items(variable: bytes, kind: int, whole: bytes) -> Iterator[int]:
    at = 0
    offset = len(whole) - len(variable)
    while at < len(variable):
        length = struct.unpack_from(">H", variable, at + 2)[0]
        if variable[at] == kind:
            yield at + offset
        at += 4 + length


def test_an_association_without_any_accepted_context_can_still_be_released(peer: RawPeer) -> None:
    peer.associate(raw.context_item(1, "1.2.3.4.5.6", raw.IMPLICIT))
    peer.release()
    assert peer.is_closed()


@pytest.mark.parametrize("fragment", [1, 2, 7, 100, 10_000])
def test_fragments_may_have_any_size(running: Running, peer: RawPeer, fragment: int) -> None:
    uid = fresh(fragment)
    data = data_set(uid, tail=raw.implicit(0x7FE00010, bytes(range(256)) * 4))
    pieces = [data[i : i + fragment] for i in range(0, len(data), fragment)]
    peer.associate()
    request = c_store(instance=uid)
    for i in range(0, len(request), fragment):
        last = 2 if i + fragment >= len(request) else 0
        peer.send(p_data(pdv(3, 1 | last, request[i : i + fragment])))
    for number, piece in enumerate(pieces):
        peer.send(p_data(pdv(3, 2 if number == len(pieces) - 1 else 0, piece)))
    assert peer.status() == 0
    stored = next(e for e in running.stored if e.instance.sop_instance_uid == uid)
    assert (running.root / stored.instance.path).read_bytes().endswith(data)


def test_a_pdu_may_hold_a_whole_message_and_empty_fragments(peer: RawPeer) -> None:
    data = data_set(fresh(900))
    peer.associate()
    peer.send(
        p_data(
            pdv(3, 1, b""),
            pdv(3, 3, c_store(instance=fresh(900))),
            pdv(3, 0, b""),
            pdv(3, 0, data[:9]),
            pdv(3, 0, data[9:]),
            pdv(3, 2, b""),
        )
    )
    assert peer.status() == 0


def test_a_second_request_may_come_before_the_first_answer(peer: RawPeer) -> None:
    peer.associate()
    peer.send(p_data(pdv(1, 3, c_echo(7))) + p_data(pdv(1, 3, c_echo(8))))
    assert [peer.response()[0x0120] for _ in range(2)] == [7, 8]


def test_a_peer_that_takes_short_pdus_only_gets_short_pdus(peer: RawPeer) -> None:
    peer.send(raw.associate_rq(*raw.DEFAULT_CONTEXTS, longest=32))
    assert peer.read()[0] == 2
    peer.send(p_data(pdv(1, 3, c_echo())))
    kind, body = peer.read()
    assert kind == 4
    assert len(body) <= 32
    assert not body[5] & 2


def test_an_unknown_operation_is_answered_and_the_association_goes_on(peer: RawPeer) -> None:
    peer.associate()
    find = raw.command(
        _0002=raw.CT_IMAGE.encode(), _0100=raw.us(0x20), _0110=raw.us(4), _0800=raw.us(1)
    )
    peer.send(p_data(pdv(3, 3, find)) + p_data(pdv(3, 2, b"anything")))
    answer = peer.response()
    assert (answer[0x0100], answer[0x0120], answer[0x0900]) == (0x8020, 4, 0x0211)
    assert peer.echo() == 0


def test_nothing_is_answered_to_a_cancel(peer: RawPeer) -> None:
    peer.associate()
    cancel = raw.command(_0100=raw.us(0x0FFF), _0120=raw.us(1), _0800=raw.us(0x0101))
    peer.send(p_data(pdv(1, 3, cancel)))
    assert peer.echo() == 0


# ---- statuses


def test_a_data_set_with_another_instance_uid_than_its_command_is_refused(peer: RawPeer) -> None:
    peer.associate()
    assert peer.store(data_set("1.2.3.77"), instance="1.2.3.78") == 0xA900
    assert peer.echo() == 0


def test_a_data_set_with_another_sop_class_than_its_command_is_refused(peer: RawPeer) -> None:
    peer.associate()
    assert peer.store(data_set(sop_class="1.2.840.10008.5.1.4.1.1.4")) == 0xA900


def test_a_command_with_another_sop_class_than_its_context_is_refused(peer: RawPeer) -> None:
    peer.associate()
    mr = "1.2.840.10008.5.1.4.1.1.4"
    assert peer.store(data_set(sop_class=mr), sop_class=mr) == 0xA900


def test_storing_on_a_verification_context_is_refused(peer: RawPeer) -> None:
    peer.associate()
    assert peer.store(data_set(), context=1) == 0x0122


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff" * 300,
        data_set(study=""),
        data_set(series="../../etc"),
        data_set()[:-3],
        data_set()[:30],
    ],
)
def test_a_data_set_that_cannot_be_understood_is_refused(
    running: Running, peer: RawPeer, data: bytes
) -> None:
    peer.associate()
    assert peer.store(data) == 0xC000
    assert peer.echo() == 0
    assert not [p for p in running.files_with_content() if p.stat().st_mode & 0o200]


@pytest.mark.parametrize("uid", ["", "../elsewhere/evil", "1" * 65, "1.2.a", "1.2\n"])
def test_an_instance_uid_that_is_none_is_refused_and_makes_no_file(
    running: Running, peer: RawPeer, uid: str
) -> None:
    peer.associate()
    assert peer.store(data_set(uid), instance=uid) == 0xC000
    assert not list(running.root.parent.rglob("*evil*"))


def test_a_store_without_a_data_set_is_refused(peer: RawPeer) -> None:
    peer.associate()
    peer.send(p_data(pdv(3, 3, c_store(data_set=0x0101))))
    assert peer.status() == 0xC000


def test_a_data_set_over_the_limit_is_read_to_its_end_and_refused(peer: RawPeer) -> None:
    peer.associate()
    peer.send(p_data(pdv(3, 3, c_store(instance=fresh(901)))))
    peer.send(p_data(pdv(3, 0, data_set(fresh(901)))))
    for _ in range(80):
        peer.send(p_data(pdv(3, 0, bytes(2**14))))
    peer.send(p_data(pdv(3, 2, b"")))
    assert peer.status() == 0xA701


def test_a_data_set_that_never_ends_is_aborted(peer: RawPeer) -> None:
    peer.associate()
    peer.send(p_data(pdv(3, 3, c_store(instance=fresh(902)))))
    with pytest.raises(ConnectionError):  # noqa: PT012  # whichever call meets it
        for _ in range(2000):
            peer.send(p_data(pdv(3, 0, bytes(2**14))))
        peer.read()
        peer.read()


# ---- what breaks the protocol


@pytest.mark.parametrize("kind", [2, 3, 4, 5, 6, 8, 0, 255])
def test_before_the_association_only_a_request_is_right(peer: RawPeer, kind: int) -> None:
    peer.send(pdu(kind, bytes(4)))
    expected = UNEXPECTED if 1 <= kind <= 7 else UNRECOGNISED
    assert peer.abort_reason() == (PROVIDER, expected)
    assert peer.is_closed()


@pytest.mark.parametrize(("kind", "reason"), [(1, 2), (2, 2), (3, 2), (6, 2), (8, 1), (0x99, 1)])
def test_inside_of_an_association_other_pdus_are_aborted(
    peer: RawPeer, kind: int, reason: int
) -> None:
    peer.associate()
    peer.send(pdu(kind, bytes(4)))
    assert peer.abort_reason() == (PROVIDER, reason)
    assert peer.is_closed()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdu(4, b""), INVALID),
        (struct.pack(">BxL", 4, 2**32 - 1), INVALID),
        (struct.pack(">BxL", 4, 4 * 2**14 + 1), INVALID),
        (pdu(4, b"\0\0\0"), INVALID),
        (pdu(4, struct.pack(">LBB", 1, 3, 3)), INVALID),
        (pdu(4, struct.pack(">LBB", 0, 3, 3)), INVALID),
        (pdu(4, struct.pack(">LBB", 2**31, 3, 3) + b"x"), INVALID),
        (p_data(pdv(99, 3, c_echo())), INVALID),
        (p_data(pdv(1, 2, b"data without command")), UNEXPECTED_PARAMETER),
        (p_data(pdv(3, 3, c_store())) + p_data(pdv(3, 3, c_echo())), UNEXPECTED_PARAMETER),
        (p_data(pdv(3, 3, c_store())) + p_data(pdv(5, 2, data_set())), UNEXPECTED_PARAMETER),
        (p_data(pdv(1, 3, b"garbage")), INVALID),
        (p_data(pdv(1, 3, b"")), INVALID),
        (p_data(pdv(1, 3, struct.pack("<HHL", 0, 0x100, 2**31))), INVALID),
        (p_data(pdv(1, 3, struct.pack("<HHL", 8, 0x16, 0))), INVALID),
        (p_data(pdv(1, 1, bytes(15_000))) + p_data(pdv(1, 3, bytes(2000))), INVALID),
    ],
)
def test_malformed_data_is_aborted_with_the_reason(peer: RawPeer, data: bytes, reason: int) -> None:
    peer.associate()
    peer.send(data)
    assert peer.abort_reason() == (PROVIDER, reason)
    assert peer.is_closed()


def test_an_association_request_over_the_limit_is_aborted_before_it_is_read(peer: RawPeer) -> None:
    peer.send(struct.pack(">BxL", 1, 2**32 - 1))
    assert peer.abort_reason() == (PROVIDER, INVALID)


def test_an_association_request_of_garbage_is_aborted(peer: RawPeer) -> None:
    peer.send(pdu(1, b"\xff" * 200))
    assert peer.abort_reason() == (PROVIDER, INVALID)


def test_contexts_beyond_the_limit_are_aborted(peer: RawPeer) -> None:
    many = [raw.context_item(1 + 2 * (i % 128), raw.CT_IMAGE, raw.IMPLICIT) for i in range(129)]
    peer.send(raw.associate_rq(*many))
    assert peer.abort_reason() == (PROVIDER, INVALID)


@pytest.mark.parametrize("cut", [0, 1, 5, 6, 10, 100])
def test_half_a_pdu_and_then_the_end_leaves_nothing(
    running: Running, peer: RawPeer, cut: int
) -> None:
    peer.associate(calling=f"CUT{cut}")
    whole = p_data(pdv(3, 3, c_store(instance=fresh(903)))) + p_data(
        pdv(3, 2, data_set(fresh(903)))
    )
    peer.send(whole[: -1 - cut])
    peer.socket.close()
    running.wait_for(lambda seen: (seen.calling_ae, seen.status) == (f"CUT{cut}", "lost"))
    assert fresh(903) not in {e.instance.sop_instance_uid for e in running.stored}
    assert not [p for p in running.files_with_content() if p.stat().st_mode & 0o200]


# ---- whatever comes


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    noise=st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(pdu, st.integers(0, 9), st.binary(max_size=60)),
            st.builds(
                lambda c, f, d: p_data(pdv(c, f, d)),
                st.sampled_from([0, 1, 3, 5, 7, 255]),
                st.integers(0, 4),
                st.one_of(st.binary(max_size=60), st.just(c_echo()), st.just(c_store())),
            ),
        ),
        max_size=6,
    ),
    associated=st.booleans(),
)
def test_whatever_a_peer_sends_the_listener_goes_on(
    running: Running, noise: list[bytes], associated: bool
) -> None:
    with RawPeer(running.port) as peer:
        if associated:
            peer.associate()
        try:
            for data in noise:
                peer.send(data)
        except ConnectionError:
            pass
    with RawPeer(running.port) as another:
        another.associate()
        assert another.echo() == 0


def test_no_file_of_anything_refused_is_left(running: Running) -> None:
    running.listener.drain(10)
    kept = {running.root / e.instance.path for e in running.stored}
    assert set(running.files_with_content()) == kept
    assert all(
        folder.stat().st_mode & 0o777 == 0o700 for folder in running.root.glob("instances/*")
    )
