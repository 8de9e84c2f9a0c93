from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

import raw_peer as raw
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.domain.events import Event, FilesRemoved, InstanceStored, Recorded, RemovedFile
from lightbox.receive.intake import _ASK_EVERY, Incoming, SyncOrder
from lightbox.receive.store import Store
from lightbox.receive.sweep import Swept
from lightbox.storage.faults import FaultAt, fail
from lightbox.storage.files import Files, Operation
from lightbox.storage.reserve import Reserve
from lightbox.storage.stream import BLOCK


def incoming(instance: str = raw.INSTANCE) -> Incoming:
    return Incoming(
        raw.CT_IMAGE, instance, raw.IMPLICIT, "MODALITY", "LIGHTBOX", "127.0.0.1", "a1", 1
    )


class Fixture:
    """A store that can be broken and started again on the same folder and ledger."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.stores: list[Store] = []
        self.store = self.start()

    def close(self) -> None:
        """Close all that were started, the crashed ones too: each holds a hundred files open."""
        for store in self.stores:
            store.close()

    def start(
        self, files: Files | None = None, reserve: int = 0, order: SyncOrder = "together"
    ) -> Store:
        self.store = Store(
            self.root,
            files or Files(),
            self.ledger,
            self.clock,
            Reserve(self.root.parent, reserve),
            order=order,
        )
        self.stores.append(self.store)
        return self.store

    def put(self, data: bytes, instance: str = raw.INSTANCE) -> InstanceStored:
        """Store, as an association does it."""
        intake = self.store.accept(incoming(instance))
        try:
            intake.add(memoryview(data))
            return intake.finish()
        finally:
            intake.close()

    def refusal(self, data: bytes) -> RefusalReason:
        with pytest.raises(RefusedError) as caught:
            self.put(data)
        return caught.value.refusal

    def files(self) -> list[Path]:
        """All files that are not blanks."""
        return [p for p in self.root.glob("instances/*/*") if p.stat().st_size]


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path / "data")
    yield fixture
    fixture.close()


def test_the_file_is_a_dicom_file_around_the_bytes_as_received(it: Fixture) -> None:
    data = raw.data_set(tail=raw.implicit(0x7FE00010, b"pixels"))
    event = it.put(data)
    whole = (it.root / event.instance.path).read_bytes()
    assert whole[:128] == bytes(128)
    assert whole.endswith(data)
    read = pydicom.dcmread(it.root / event.instance.path)
    assert read.file_meta.MediaStorageSOPInstanceUID == raw.INSTANCE
    assert read.file_meta.TransferSyntaxUID == raw.IMPLICIT
    assert read.file_meta.SourceApplicationEntityTitle == "MODALITY"
    assert read.PixelData == b"pixels"
    assert event.instance.sha256 == hashlib.sha256(data).hexdigest()
    assert event.instance.size_bytes == len(whole)
    assert (event.instance.study_instance_uid, event.instance.series_instance_uid) == (
        raw.STUDY,
        raw.SERIES,
    )
    assert event.arrival.received_at == it.clock.now()
    assert event.arrival.priority == 1


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("in_turn", ["write", "sync", "record"]),
        ("together", ["write", "begin", "sync", "recorded"]),
    ],
)
def test_file_and_row_are_both_on_the_disk_before_the_answer(
    tmp_path: Path, how: SyncOrder, expected: list[str]
) -> None:
    order: list[str] = []

    class Watched(FakeLedger):
        def record(self, *events: Event) -> tuple[Recorded, ...]:
            order.append("record")
            return super().record(*events)

        def begin(self, event: Event) -> Callable[[], Recorded]:
            order.append("begin")
            (row,) = FakeLedger.record(self, event)

            def wait() -> Recorded:
                order.append("recorded")
                return row

            return wait

    class Witness:
        def strike(self, operation: Operation) -> None:
            if operation in (Operation.WRITE, Operation.SYNC, Operation.SYNC_FOLDER):
                order.append(operation)

    clock = FakeClock()
    store = Store(
        tmp_path, Files(Witness()), Watched(clock), clock, Reserve(tmp_path, 0), order=how
    )
    intake = store.accept(incoming())
    intake.add(memoryview(raw.data_set()))
    intake.finish()
    intake.close()
    store.close()
    assert [each for each in order if each != "sync_folder"] == expected
    assert order[0] == "sync_folder"


def test_the_same_bytes_again_are_the_same_instance_in_one_file(it: Fixture) -> None:
    first = it.put(raw.data_set())
    assert it.put(raw.data_set()) == first
    assert it.files() == [it.root / first.instance.path]
    assert len(it.ledger.rows) == 1


def test_other_bytes_under_the_same_uid_are_both_kept(it: Fixture) -> None:
    first = it.put(raw.data_set())
    second = it.put(raw.data_set(tail=raw.implicit(0x00204000, b"corrected")))
    assert first.instance.path != second.instance.path
    assert sorted(it.files()) == sorted(it.root / e.instance.path for e in (first, second))


def test_the_same_bytes_again_replace_a_file_that_was_lost(it: Fixture) -> None:
    first = it.put(raw.data_set())
    path = it.root / first.instance.path
    path.unlink()
    assert it.put(raw.data_set()) == first
    assert path.read_bytes().endswith(raw.data_set())
    assert it.files() == [path]


def test_the_same_bytes_after_a_removal_are_a_new_row_with_a_new_file(it: Fixture) -> None:
    first = it.put(raw.data_set())
    gone = (RemovedFile(first.instance.path),)
    it.ledger.record(
        FilesRemoved(first.study, 0, "retention", 0.0, ()),
        FilesRemoved(first.study, 1, "retention", 0.0, gone),
    )
    (it.root / first.instance.path).unlink()
    again = it.put(raw.data_set())
    assert (again.again, it.files()) == (1, [it.root / again.instance.path])
    assert it.put(raw.data_set()) == again


def test_the_same_bytes_again_replace_a_file_that_rotted(it: Fixture) -> None:
    first = it.put(raw.data_set())
    path = it.root / first.instance.path
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    it.put(raw.data_set())
    assert path.read_bytes().endswith(raw.data_set())


# ---- refusals


@pytest.mark.parametrize("order", ["together", "in_turn"])
@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.SYNC])
def test_a_full_disk_refuses_one_instance_and_heals(
    it: Fixture, operation: Operation, order: SyncOrder
) -> None:
    it.store.close()
    it.start(Files(FaultAt(operation, 1, fail(errno.ENOSPC))), order=order)
    assert it.refusal(raw.data_set()) is RefusalReason.OUT_OF_RESOURCES
    assert it.files() == []
    taken_back = order == "together" and operation is Operation.SYNC
    kinds = ["instance_stored", "instance_torn"] if taken_back else []
    assert [event.kind for event in it.ledger.events] == kinds
    event = it.put(raw.data_set())
    assert event.again == int(taken_back)
    assert it.files() == [it.root / event.instance.path]
    assert it.put(raw.data_set()) == event


def test_what_was_torn_by_a_crash_is_taken_back_and_stored_again_when_it_comes(
    it: Fixture,
) -> None:
    first = it.put(raw.data_set())
    path = it.root / first.instance.path
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:200])
    it.store.close()
    assert it.start().swept == Swept(removed=1, kept=0, torn=1)
    assert it.files() == []
    it.store.close()
    assert it.start().swept == Swept(removed=0, kept=0)
    again = it.put(raw.data_set())
    assert (again.again, again.instance.sha256) == (1, first.instance.sha256)
    assert it.files() == [it.root / again.instance.path]


def test_two_that_send_the_same_bytes_at_once_share_one_row_and_one_file(it: Fixture) -> None:
    stored: list[InstanceStored] = []
    senders = [
        threading.Thread(target=lambda: stored.append(it.put(raw.data_set()))) for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(30)
    assert len(stored) == 8
    assert set(map(id, it.ledger.rows)) == {id(it.ledger.rows[0])}
    assert it.files() == [it.root / stored[0].instance.path]


def test_after_a_failed_sync_nothing_is_taken_until_a_restart(it: Fixture) -> None:
    it.store.close()
    it.start(Files(FaultAt(Operation.SYNC, 1, fail(errno.EIO))))
    assert it.refusal(raw.data_set()) is RefusalReason.OUT_OF_RESOURCES
    assert it.refusal(raw.data_set()) is RefusalReason.OUT_OF_RESOURCES
    it.store.close()
    it.start()
    it.put(raw.data_set())


def test_a_ledger_that_fails_refuses_and_leaves_nothing(it: Fixture) -> None:
    it.ledger.fail()
    assert it.refusal(raw.data_set()) is RefusalReason.OUT_OF_RESOURCES
    assert it.files() == []


def test_a_ledger_of_which_nobody_knows_leaves_the_file_to_the_sweep(it: Fixture) -> None:
    def unknown(key: str) -> Recorded | None:
        raise OSError(key)

    it.ledger.fail()
    it.ledger.find = unknown  # type: ignore[method-assign]  # the fake has no such failure
    assert it.refusal(raw.data_set()) is RefusalReason.OUT_OF_RESOURCES
    assert len(it.files()) == 1
    del it.ledger.find
    assert it.start().swept.removed >= 1
    assert it.files() == []


def test_the_reserve_is_asked_before_anything_is_written(it: Fixture) -> None:
    it.store.close()
    it.start(reserve=2**60)
    with pytest.raises(RefusedError) as caught:
        it.store.accept(incoming())
    assert caught.value.refusal is RefusalReason.OUT_OF_RESOURCES
    assert "reserve" in str(caught.value)


def test_the_reserve_is_asked_again_while_a_large_instance_arrives(it: Fixture) -> None:
    class Filling(Reserve):
        asked = 0

        def ok(self) -> bool:
            self.asked += 1
            return self.asked < 4

    it.store.close()
    reserve = Filling(it.root, 0)
    it.store = Store(it.root, Files(), it.ledger, it.clock, reserve)
    it.stores.append(it.store)
    intake = it.store.accept(incoming())
    intake.add(memoryview(raw.data_set(tail=raw.implicit(0x7FE00010, b"")[:4] + b"\0\0\0\x10")))
    for _ in range(2):
        intake.add(memoryview(bytes(_ASK_EVERY)))
    with pytest.raises(RefusedError, match="reserve"):
        intake.add(memoryview(bytes(_ASK_EVERY)))
    intake.close()
    assert it.files() == []


def test_no_free_file_is_out_of_resources(tmp_path: Path) -> None:
    full = Files(FaultAt(Operation.CREATE, 1, fail(errno.ENOSPC), lasting=True))
    clock = FakeClock()
    store = Store(tmp_path, full, FakeLedger(clock), clock, Reserve(tmp_path, 0))
    with pytest.raises(RefusedError) as caught:
        store.accept(incoming())
    assert caught.value.refusal is RefusalReason.OUT_OF_RESOURCES
    store.close()


@pytest.mark.parametrize(
    ("number", "mend"), [(errno.ENOSPC, "free some space"), (errno.EIO, "look at the disk")]
)
def test_a_write_that_fails_says_what_to_do(tmp_path: Path, number: int, mend: str) -> None:
    clock = FakeClock()
    files = Files(FaultAt(Operation.WRITE, 1, fail(number)))
    store = Store(tmp_path, files, FakeLedger(clock), clock, Reserve(tmp_path, 0))
    intake = store.accept(incoming())
    intake.add(memoryview(raw.data_set()))
    with pytest.raises(RefusedError, match=mend):
        intake.finish()
    intake.close()
    store.close()


def test_no_memory_for_another_instance_is_out_of_resources_and_leaves_nothing(
    it: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> memoryview:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", none_left)
    with pytest.raises(RefusedError, match="memory") as caught:
        it.store.accept(incoming())
    assert caught.value.refusal is RefusalReason.OUT_OF_RESOURCES
    it.store.close()
    assert list(it.root.glob("instances/*/*")) == []


def test_an_abandoned_instance_leaves_nothing(it: Fixture) -> None:
    intake = it.store.accept(incoming())
    intake.add(memoryview(raw.data_set(tail=raw.implicit(0x7FE00010, bytes(2 * BLOCK)))))
    assert len(it.files()) == 1  # of two blocks the first is written when the second is handed over
    intake.close()
    intake.close()
    assert it.files() == []


# ---- the sweep after a crash


def test_a_clean_start_sweeps_nothing(it: Fixture) -> None:
    event = it.put(raw.data_set())
    it.store.close()
    assert it.start().swept == Swept(removed=0, kept=0)
    assert (it.root / event.instance.path).exists()


def crash_before_the_row(it: Fixture) -> None:
    intake = it.store.accept(incoming("1.2.3.99"))
    intake.add(
        memoryview(raw.data_set("1.2.3.99", tail=raw.implicit(0x7FE00010, bytes(2 * BLOCK))))
    )


def crash_in_the_middle_of_a_write(it: Fixture) -> None:
    path = it.root / "instances" / "20260101" / "0123.dcm"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(bytes(128) + b"DICM\2\0")


def crash_at_once(it: Fixture) -> None:
    it.store.accept(incoming())


@pytest.mark.parametrize(
    "crash", [crash_before_the_row, crash_in_the_middle_of_a_write, crash_at_once]
)
def test_what_was_never_acknowledged_is_swept(
    it: Fixture, crash: Callable[[Fixture], None]
) -> None:
    event = it.put(raw.data_set())
    it.store.close()
    it.start()
    crash(it)
    assert it.start().swept.removed >= 1  # no close: the process is gone
    assert it.files() == [it.root / event.instance.path]


def test_what_was_acknowledged_is_kept_even_if_its_mark_was_lost(it: Fixture) -> None:
    path = it.root / it.put(raw.data_set()).instance.path
    path.chmod(0o600)
    it.store.close()
    assert it.start().swept == Swept(removed=0, kept=1)
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.read_bytes().endswith(raw.data_set())
