"""Delivery to a real Orthanc: C-STORE and STOW-RS, and an Orthanc that goes away and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_result_file, a_uid
from contracts.destination import DestinationContract, Node
from fakes.ledger import FakeLedger
from lightbox import ports
from lightbox.deliver.cstore import CStore
from lightbox.deliver.send import Send
from lightbox.deliver.status import Action, DestinationError
from lightbox.deliver.stow import Stow
from lightbox.domain.events import DeadLettered, Delivered, Recorded
from lightbox.domain.result import ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings
from lightbox.tools.orthanc import Orthanc, is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")


class OrthancNode:
    """Orthanc and a destination that leads to it."""

    def __init__(self, orthanc: Orthanc, root: Path, stow: str = "") -> None:
        self.orthanc = orthanc
        self.settings = DestinationSettings(
            name="orthanc",
            ae_title=orthanc.ae_title,
            port=orthanc.dicom_port,
            stow=stow,
            retry_first=0.2,
        )
        self.destination: ports.Destination = (
            Stow(self.settings, root) if stow else CStore(self.settings, "LIGHTBOX", root)
        )

    def stored(self) -> list[str]:
        return [one.sop_instance_uid for one in self.orthanc.instances()]

    def stop(self) -> None:
        self.orthanc.stop()

    def start(self) -> None:
        self.orthanc.start()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as one:
        yield one


@pytest.fixture
def orthanc(running: Orthanc) -> Orthanc:
    """Return an empty Orthanc: one for all tests, because it takes seconds to stop."""
    running.start()
    for one in running.instances():
        running.delete(one.sop_instance_uid)
    return running


class TestCStoreToOrthanc(DestinationContract):
    @pytest.fixture
    def node(self, tmp_path: Path, orthanc: Orthanc) -> Iterator[Node]:
        node = OrthancNode(orthanc, tmp_path)
        yield node
        node.destination.close()


class TestStowToOrthanc(DestinationContract):
    @pytest.fixture
    def node(self, tmp_path: Path, orthanc: Orthanc) -> Iterator[Node]:
        if not orthanc.stow_url:
            pytest.skip("the DICOMweb plug-in of Orthanc is not installed")
        node = OrthancNode(orthanc, tmp_path, orthanc.stow_url)
        yield node
        node.destination.close()


def test_a_wrong_root_of_stow_makes_results_wait(orthanc: Orthanc, tmp_path: Path) -> None:
    node = OrthancNode(orthanc, tmp_path, f"{orthanc.http_url}/nothing-here")
    with pytest.raises(DestinationError, match="HTTP 404 Nothing at this address") as caught:
        node.destination.send(a_result_file(tmp_path))
    assert caught.value.action is Action.UNREACHABLE
    node.destination.close()


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()  # noqa: TID251  # a real clock for a real peer

    def monotonic(self) -> float:
        return time.monotonic()


class Road:
    """The door of deliver with its thread, and what it told."""

    def __init__(self, node: OrthancNode) -> None:
        self.ledger = FakeLedger()
        self._told = threading.Condition()
        self.delivered: list[str] = []
        self.send = Send(node.destination, self.ledger, node.settings, SystemClock(), self._note)
        self.send.start()

    def _note(self, row: Recorded) -> None:
        if isinstance(row.event, Delivered):
            with self._told:
                self.delivered.append(row.event.sop_instance_uid)
                self._told.notify_all()

    def wait_for(self, count: int, seconds: float) -> bool:
        with self._told:
            return self._told.wait_for(lambda: len(self.delivered) >= count, seconds)


def test_orthanc_stopped_and_started_again_gets_every_result_once_in_order_without_a_hand(
    orthanc: Orthanc, tmp_path: Path
) -> None:
    road = Road(OrthancNode(orthanc, tmp_path))
    studies = {name: a_uid("study", name) for name in ("a", "b", "c")}
    wanted: dict[str, list[str]] = {study: [] for study in studies.values()}

    def write(first: int, last: int) -> None:
        for n in range(first, last):
            study = studies["abc"[n % 3]]
            kind = list(ResultKind)[n % 4]
            result = a_result_file(tmp_path, str(n), kind, study)
            wanted[study].append(result.sop_instance_uid)
            road.send.take("job", study, result, Urgency.ROUTINE)

    write(0, 6)
    assert road.wait_for(6, 30.0)
    orthanc.stop()
    write(6, 15)
    assert not road.wait_for(7, 1.5)
    orthanc.start()
    write(15, 18)
    assert road.wait_for(18, 60.0)
    road.send.close(10.0)
    everything = [uid for uids in wanted.values() for uid in uids]
    assert sorted(one.sop_instance_uid for one in orthanc.instances()) == sorted(everything)
    assert len(road.delivered) == len(set(road.delivered)) == 18
    for uids in wanted.values():
        assert [uid for uid in road.delivered if uid in uids] == uids
    assert not any(isinstance(event, DeadLettered) for event in road.ledger.events)


def test_the_results_of_many_studies_need_one_association(orthanc: Orthanc, tmp_path: Path) -> None:
    road = Road(OrthancNode(orthanc, tmp_path))
    for n in range(5):
        for kind in tuple(ResultKind)[:4]:
            result = a_result_file(tmp_path, str(n), kind)
            road.send.take("job", a_uid("study", str(n)), result, Urgency.STAT)
    assert road.wait_for(20, 30.0)
    road.send.close(10.0)
    assert len(orthanc.instances()) == 20
