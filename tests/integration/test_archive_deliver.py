"""C-STORE destinations against our own archive, whose answers can be scripted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from builders import a_result_file
from contracts.destination import DestinationContract, Node
from fakes.ledger import FakeLedger
from lightbox.app.clock import SystemClock
from lightbox.deliver.association import Association, Peer
from lightbox.deliver.cstore import CStore
from lightbox.deliver.send import Send
from lightbox.deliver.status import DIMSE, Action, DestinationError, of_status
from lightbox.deliver.transcode import IMPLICIT
from lightbox.domain.events import Recorded
from lightbox.domain.result import ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings
from lightbox.tools.archive import Archive, Do, Reply
from lightbox.tools.orthanc import free_port

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class ArchiveNode:
    """Our archive and the destination that leads to it."""

    def __init__(self, archive: Archive, root: Path, calling: str = "LIGHTBOX") -> None:
        self.archive = archive
        settings = DestinationSettings(
            name="pacs", ae_title=archive.ae_title, port=archive.dicom_port
        )
        self.destination = CStore(settings, calling, root)

    def stored(self) -> list[str]:
        return [one.sop_instance_uid for one in self.archive.instances()]

    def stop(self) -> None:
        self.archive.stop()

    def start(self) -> None:
        self.archive.start()


class TestCStoreToArchive(DestinationContract):
    @pytest.fixture
    def node(self, tmp_path: Path) -> Iterator[Node]:
        with Archive(tmp_path / "archive") as archive:
            node = ArchiveNode(archive, tmp_path)
            yield node
            node.destination.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ArchiveNode]:
    with Archive(tmp_path / "archive") as archive:
        one = ArchiveNode(archive, tmp_path)
        yield one
        one.destination.close()


def refused(
    node: ArchiveNode, root: Path, kind: ResultKind = ResultKind.SECONDARY_CAPTURE
) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        node.destination.send(a_result_file(root, kind=kind))
    return caught.value


def test_the_bytes_arrive_as_they_were_written(node: ArchiveNode, tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    node.destination.send(result)
    ours = (tmp_path / result.path).read_bytes()
    theirs = node.archive.file(result.sop_instance_uid)
    head = len(b"\0" * 128 + b"DICM")
    assert theirs[-100:] == ours[-100:]
    assert dcmread(tmp_path / result.path) == dcmread(
        tmp_path / "archive" / f"{result.sop_instance_uid}.dcm"
    )
    assert theirs[:head] == ours[:head]


def test_one_association_carries_all_results(node: ArchiveNode, tmp_path: Path) -> None:
    for n in range(5):
        node.destination.send(a_result_file(tmp_path, str(n)))
    assert node.archive.associations == 1


def test_an_association_is_reused_released_when_idle_and_opened_again(tmp_path: Path) -> None:
    told = threading.Condition()
    delivered: list[Recorded] = []

    def tell(row: Recorded) -> None:
        with told:
            delivered.append(row)
            told.notify_all()

    with Archive(tmp_path / "archive") as archive:
        settings = DestinationSettings(
            name="pacs", ae_title=archive.ae_title, port=archive.dicom_port, idle=0.2
        )
        destination = CStore(settings, "LIGHTBOX", tmp_path)
        send = Send(destination, FakeLedger(), settings, SystemClock(), tell)
        send.start()

        def deliver(*names: str) -> None:
            before = len(delivered)
            for name in names:
                send.take("job", "study", a_result_file(tmp_path, name), Urgency.ROUTINE)
            with told:
                assert told.wait_for(lambda: len(delivered) == before + len(names), 10.0)

        deliver("1", "2", "3")
        assert archive.associations == 1
        nap = threading.Event()
        for _ in range(200):
            if not archive.open_associations:
                break
            nap.wait(0.05)
        assert archive.open_associations == 0
        deliver("4")
        assert archive.associations == 2
        send.close(5.0)


ANSWERS = sorted({status for first, last, _ in DIMSE for status in (first, last)} | {0xEEEE})


def test_each_status_of_the_table_gets_its_action(node: ArchiveNode, tmp_path: Path) -> None:
    result = a_result_file(tmp_path, kind=ResultKind.SEGMENTATION)
    for status in ANSWERS:
        node.archive.script(Reply(status))
        wanted = of_status(status).action
        if wanted is Action.SUCCESS:
            assert node.destination.send(result) == ""
        elif wanted is Action.NOTE:
            assert node.destination.send(result).startswith(f"0x{status:04X}")
        else:
            with pytest.raises(DestinationError) as caught:
                node.destination.send(result)
            assert caught.value.action is wanted
            assert f"0x{status:04X}" in caught.value.reason


def test_the_words_of_the_pacs_are_passed_on(node: ArchiveNode, tmp_path: Path) -> None:
    node.archive.script(Reply(0xC001, comment="Rows is missing"))
    assert 'Cannot understand, "Rows is missing"' in refused(node, tmp_path).reason


@pytest.mark.parametrize("do", [Do.ABORT, Do.STORE_AND_ABORT])
def test_an_association_that_breaks_is_opened_again_once_and_nothing_is_doubled(
    node: ArchiveNode, tmp_path: Path, do: Do
) -> None:
    first, second = a_result_file(tmp_path, "1"), a_result_file(tmp_path, "2")
    node.destination.send(first)
    node.archive.script(Reply(do=do))
    assert node.destination.send(second) == ""
    assert node.stored() == [first.sop_instance_uid, second.sop_instance_uid]
    assert node.archive.associations == 2


def test_a_pacs_that_always_breaks_is_unreachable(node: ArchiveNode, tmp_path: Path) -> None:
    node.archive.script(Reply(do=Do.ABORT), Reply(do=Do.ABORT))
    error = refused(node, tmp_path)
    assert error.action is Action.UNREACHABLE
    assert error.reason == "association aborted by the PACS"


def test_closing_does_not_wait_for_a_pacs_that_says_nothing(
    node: ArchiveNode, tmp_path: Path
) -> None:
    node.destination.send(a_result_file(tmp_path, "1"))
    node.archive.script(Reply(do=Do.SILENT))
    caught: list[DestinationError] = []

    def send() -> None:
        caught.append(refused(node, tmp_path))

    sending = threading.Thread(target=send)
    sending.start()
    assert node.archive.wait_for(2, 5.0)
    node.destination.close()
    sending.join(5.0)
    assert not sending.is_alive()
    assert caught[0].reason == "connection lost before the answer"
    assert node.archive.associations == 1


def test_a_changed_file_reaches_no_pacs(node: ArchiveNode, tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    file = tmp_path / result.path
    file.write_bytes(file.read_bytes().replace(b"Nobody", b"Nobodx"))
    with pytest.raises(DestinationError, match="changed on disk") as caught:
        node.destination.send(result)
    assert caught.value.action is Action.DEAD_LETTER
    assert node.archive.associations == 0


def test_a_lost_file_is_a_dead_letter(node: ArchiveNode, tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    (tmp_path / result.path).unlink()
    with pytest.raises(DestinationError, match="cannot be read") as caught:
        node.destination.send(result)
    assert caught.value.action is Action.DEAD_LETTER


def test_a_refused_class_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive", refuses=(SEGMENTATION,)) as archive:
        node = ArchiveNode(archive, tmp_path)
        error = refused(node, tmp_path, ResultKind.SEGMENTATION)
        assert error.action is Action.NOT_TAKEN
        assert error.reason == "this destination does not take Segmentation Storage"
        assert node.destination.send(a_result_file(tmp_path)) == ""
        node.destination.close()


def test_a_pacs_that_knows_only_implicit_gets_implicit(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive", syntaxes=(IMPLICIT,)) as archive:
        node = ArchiveNode(archive, tmp_path)
        result = a_result_file(tmp_path)
        assert node.destination.send(result) == ""
        kept = dcmread(tmp_path / "archive" / f"{result.sop_instance_uid}.dcm")
        assert kept.file_meta.TransferSyntaxUID == IMPLICIT
        assert kept == dcmread(tmp_path / result.path)
        node.destination.close()


def test_a_wrong_called_ae_title_is_said_in_these_words(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as archive:
        settings = DestinationSettings(name="pacs", ae_title="OTHER", port=archive.dicom_port)
        with pytest.raises(DestinationError, match="wrong called AE title"):
            CStore(settings, "LIGHTBOX", tmp_path).echo()


def test_an_unknown_calling_ae_title_is_said_with_our_title(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive", knows=("FRIEND",)) as archive:
        node = ArchiveNode(archive, tmp_path)
        with pytest.raises(DestinationError, match="calling AE title not known") as caught:
            node.destination.echo()
        assert "our AE title LIGHTBOX" in caught.value.mend


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "connection refused"), ("no-such-host.invalid", "host name unknown")],
)
def test_why_there_is_no_connection(host: str, reason: str) -> None:
    peer = Peer("pacs", "PACS", host, free_port(), "LIGHTBOX")
    with pytest.raises(DestinationError, match=reason):
        Association(peer, [("1.2.840.10008.1.1", IMPLICIT)])


def test_a_peer_that_says_nothing_is_told_from_one_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        peer = Peer("pacs", "PACS", "127.0.0.1", port, "LIGHTBOX", answer_seconds=0.3)
        with pytest.raises(DestinationError, match="no answer in time"):
            Association(peer, [("1.2.840.10008.1.1", IMPLICIT)])
        listener.accept()[0].close()

        def hang_up() -> None:
            listener.accept()[0].close()

        other_side = threading.Thread(target=hang_up)
        other_side.start()
        with pytest.raises(DestinationError, match="closed the connection"):
            Association(peer, [("1.2.840.10008.1.1", IMPLICIT)])
        other_side.join(5.0)
