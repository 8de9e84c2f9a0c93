from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

import raw_peer as raw
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.events import InstanceStored
from lightbox.receive.listener import Listener
from lightbox.receive.store import Store
from lightbox.settings import Dicom, Limits
from lightbox.storage.faults import FaultAt, wait
from lightbox.storage.files import Files, Operation
from lightbox.storage.reserve import Reserve
from listening import PATIENCE, listening
from raw_peer import RawPeer, associate_rq, c_store, data_set, p_data, pdv

SERVICE_USER, PROVIDER_ACSE, PROVIDER_PRESENTATION = 1, 2, 3
PERMANENT, TRANSIENT = 1, 2


def rejection(port: int, request: bytes) -> tuple[int, int, int]:
    """Return result, source and reason of the A-ASSOCIATE-RJ that answers ``request``."""
    with RawPeer(port) as peer:
        peer.send(request)
        kind, body = peer.read()
        assert kind == 3, (kind, body)
        return body[1], body[2], body[3]


# ---- who may talk


def test_an_unknown_called_ae_is_rejected(tmp_path: Path) -> None:
    with listening(tmp_path) as it:
        request = associate_rq(*raw.DEFAULT_CONTEXTS, called="OTHER")
        assert rejection(it.port, request) == (PERMANENT, SERVICE_USER, 7)
        assert it.wait_for_status("rejected").called_ae == "OTHER"


@pytest.mark.parametrize("called", ["LIGHTBOX", "LIGHTBOX_STAT", "LIGHTBOX_AUDIT"])
def test_the_configured_called_aes_are_accepted_and_observed(tmp_path: Path, called: str) -> None:
    with listening(tmp_path) as it, RawPeer(it.port) as peer:
        peer.associate(called=called)
        seen = it.wait_for_status("opened")
        assert (seen.called_ae, seen.calling_ae, seen.associations_active) == (called, "RAW", 1)


@pytest.mark.parametrize("allowed", ["SCANNER", "SCANNER@127.0.0.1"])
def test_a_calling_ae_must_be_listed_where_there_is_a_list(tmp_path: Path, allowed: str) -> None:
    with listening(tmp_path, Dicom(accept_calling=(allowed,))) as it:
        stranger = associate_rq(*raw.DEFAULT_CONTEXTS, calling="STRANGER")
        assert rejection(it.port, stranger) == (PERMANENT, SERVICE_USER, 3)
        with RawPeer(it.port) as peer:
            peer.associate(calling="SCANNER")


def test_a_listed_ae_at_another_address_is_rejected(tmp_path: Path) -> None:
    with listening(tmp_path, Dicom(accept_calling=("SCANNER@10.0.0.1",))) as it:
        request = associate_rq(*raw.DEFAULT_CONTEXTS, calling="SCANNER")
        assert rejection(it.port, request) == (PERMANENT, SERVICE_USER, 3)


def test_an_unknown_protocol_version_is_rejected(tmp_path: Path) -> None:
    with listening(tmp_path) as it:
        request = associate_rq(*raw.DEFAULT_CONTEXTS, version=2)
        assert rejection(it.port, request) == (PERMANENT, PROVIDER_ACSE, 2)


PRIVATE = "1.3.12.2.1107.5.9.1"


def test_an_instance_of_a_configured_private_sop_class_is_stored(tmp_path: Path) -> None:
    with (
        listening(tmp_path, Dicom(private_sop_classes=(PRIVATE,))) as it,
        RawPeer(it.port) as peer,
    ):
        peer.associate(raw.context_item(3, PRIVATE, raw.IMPLICIT))
        assert peer.store(data_set(sop_class=PRIVATE), sop_class=PRIVATE) == 0
        (stored,) = [e for e in it.ledger.events if isinstance(e, InstanceStored)]
    assert stored.instance.sop_class_uid == PRIVATE
    assert (it.root / stored.instance.path).is_file()


# ---- how many, and for how long


@pytest.mark.parametrize(
    "settings",
    [Dicom(max_associations=2), Dicom(limits=Limits(associations_per_peer=2))],
    ids=["overall", "per peer"],
)
def test_associations_over_the_limit_are_rejected_and_places_come_back(
    tmp_path: Path, settings: Dicom
) -> None:
    with (
        listening(tmp_path, settings) as it,
        RawPeer(it.port) as first,
        RawPeer(it.port) as second,
        RawPeer(it.port) as third,
    ):
        first.associate()
        second.associate()
        request = associate_rq(*raw.DEFAULT_CONTEXTS)
        assert rejection(it.port, request) == (TRANSIENT, PROVIDER_PRESENTATION, 2)
        first.release()
        it.wait_for_status("released")
        third.associate()


def test_silent_connections_hold_no_place(tmp_path: Path) -> None:
    with listening(tmp_path, Dicom(max_associations=1)) as it:
        silent = [socket.create_connection(("127.0.0.1", it.port)) for _ in range(50)]
        with RawPeer(it.port) as peer:
            peer.associate()
            assert peer.echo() == 0
        for connection in silent:
            connection.close()


def test_a_peer_that_never_asks_is_closed(tmp_path: Path) -> None:
    limits = Limits(handshake=0.1)
    with listening(tmp_path, Dicom(limits=limits)) as it, RawPeer(it.port) as peer:
        assert peer.is_closed()


def test_a_request_that_trickles_is_closed(tmp_path: Path) -> None:
    limits = Limits(handshake=0.3)
    with listening(tmp_path, Dicom(limits=limits)) as it, RawPeer(it.port) as peer:
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012  # whichever call meets it
            for byte in associate_rq(*raw.DEFAULT_CONTEXTS) * 1000:
                peer.send(bytes([byte]))
                if threading.Event().wait(0.01):
                    break
        assert time.monotonic() - began < PATIENCE


def test_an_idle_association_is_aborted(tmp_path: Path) -> None:
    limits = Limits(idle=0.1)
    with listening(tmp_path, Dicom(limits=limits)) as it, RawPeer(it.port) as peer:
        peer.associate()
        assert peer.abort_reason() == (2, 0)
        assert it.wait_for_status("aborted").associations_active == 0


def test_a_peer_that_falls_silent_inside_of_a_message_is_aborted(tmp_path: Path) -> None:
    limits = Limits(pdu_time=0.1)
    with listening(tmp_path, Dicom(limits=limits)) as it, RawPeer(it.port) as peer:
        peer.associate()
        peer.send(p_data(pdv(3, 3, c_store())) + p_data(pdv(3, 2, data_set()))[:-5])
        assert peer.abort_reason() == (2, 0)
        assert it.stored == []


def test_a_slow_link_that_moves_is_never_cut(tmp_path: Path) -> None:
    limits = Limits(pdu_time=0.2, idle=0.2)
    with listening(tmp_path, Dicom(limits=limits)) as it, RawPeer(it.port) as peer:
        peer.associate()
        data = p_data(pdv(3, 3, c_store())) + p_data(pdv(3, 2, data_set()))
        for at in range(0, len(data), 20):
            peer.send(data[at : at + 20])
            threading.Event().wait(0.05)
        assert peer.status() == 0


# ---- the end


def test_the_end_of_an_association_that_brought_instances_is_recorded(tmp_path: Path) -> None:
    with listening(tmp_path) as it:
        for how in ("released", "aborted", "lost"):
            with RawPeer(it.port) as peer:
                peer.associate(calling=how)
                uid = f"1.2.{len(how)}"
                assert peer.store(data_set(uid), instance=uid) == 0
                if how == "released":
                    peer.release()
                elif how == "aborted":
                    peer.send(raw.pdu(7, bytes(4)))
            seen = it.wait_for_status(how)
            assert seen.calling_ae == how
        it.listener.drain(PATIENCE)
        assert [(e.how, e.instances) for e in it.released] == [
            ("released", 1),
            ("aborted", 1),
            ("lost", 1),
        ]
        assert len({e.association for e in it.released}) == 3


def test_an_association_that_brought_nothing_is_not_recorded(tmp_path: Path) -> None:
    with listening(tmp_path) as it:
        with RawPeer(it.port) as peer:
            peer.associate()
            assert peer.echo() == 0
            peer.release()
        it.listener.drain(PATIENCE)
        assert it.released == []


def test_an_instance_is_observed_with_its_size(tmp_path: Path) -> None:
    with listening(tmp_path) as it, RawPeer(it.port) as peer:
        peer.associate()
        assert peer.store(data_set()) == 0
        seen = it.wait_for_status("0x0000")
        assert (seen.bytes, seen.calling_ae, seen.called_ae) == (len(data_set()), "RAW", "LIGHTBOX")
        assert seen.seconds > 0


def test_draining_answers_the_instance_in_hand_and_aborts_the_idle(tmp_path: Path) -> None:
    with (
        listening(tmp_path) as it,
        RawPeer(it.port) as busy,
        RawPeer(it.port) as idle,
        RawPeer(it.port) as unborn,
    ):
        busy.associate()
        idle.associate()
        data = p_data(pdv(3, 2, data_set()))
        busy.send(p_data(pdv(3, 3, c_store())) + data[:20])
        threading.Event().wait(0.1)  # so that its bytes are there
        drain = threading.Thread(target=it.listener.drain, args=(PATIENCE,))
        drain.start()
        assert idle.abort_reason() == (2, 0)
        assert unborn.is_closed()
        busy.send(data[20:])
        assert busy.status() == 0
        assert busy.abort_reason() == (2, 0)
        drain.join(PATIENCE)
        assert not drain.is_alive()
        assert len(it.stored) == 1
        with pytest.raises(ConnectionError):
            RawPeer(it.port)


def test_draining_does_not_wait_for_ever(tmp_path: Path) -> None:
    with listening(tmp_path) as it, RawPeer(it.port) as busy:
        busy.associate()
        busy.send(p_data(pdv(3, 3, c_store())))
        threading.Event().wait(0.1)
        began = time.monotonic()
        it.listener.drain(0.2)
        assert time.monotonic() - began < 5


def test_a_slow_disk_delays_its_own_sender_only(tmp_path: Path) -> None:
    slow = Files(FaultAt(Operation.SYNC, 1, wait(1.0)))
    with (
        listening(tmp_path, files=slow) as it,
        RawPeer(it.port) as first,
        RawPeer(it.port) as second,
    ):
        first.associate()
        second.associate()
        first.send(p_data(pdv(3, 3, c_store())) + p_data(pdv(3, 2, data_set())))
        it.wait_for_status("opened")
        began = time.monotonic()
        assert second.echo() == 0
        assert second.store(data_set("1.2.3.5"), instance="1.2.3.5") == 0
        assert first.status() == 0
        assert time.monotonic() - began < PATIENCE


# ---- the beginning


def test_a_port_in_use_is_named_with_its_mend(tmp_path: Path) -> None:
    with listening(tmp_path / "one") as it:
        clock = FakeClock()
        ledger = FakeLedger(clock)
        store = Store(tmp_path / "two", Files(), ledger, clock, Reserve(tmp_path, 0))
        second = Listener(Dicom(port=it.port), store, ledger, clock, lambda _: None)
        with pytest.raises(ConfigurationError) as caught:
            second.start()
        assert f"dicom.port {it.port}" in str(caught.value)
        assert "in use" in str(caught.value)
        assert "choose another port" in str(caught.value)
        store.close()


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    clock = FakeClock()
    ledger = FakeLedger(clock)
    store = Store(tmp_path, Files(), ledger, clock, Reserve(tmp_path, 0))
    settings = Dicom(host="203.0.113.7", port=0, insecure=True)
    with pytest.raises(ConfigurationError, match=r"dicom\.host"):
        Listener(settings, store, ledger, clock, lambda _: None).start()
    store.close()
