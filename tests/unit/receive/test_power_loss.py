from __future__ import annotations

import random
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import raw_peer as raw
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from fakes.lossy_files import LossyFiles, PowerLossError
from lightbox.domain.account import Account
from lightbox.domain.errors import RefusedError
from lightbox.domain.events import InstanceStored, InstanceTorn
from lightbox.receive.intake import Incoming, SyncOrder
from lightbox.receive.store import Store
from lightbox.receive.stored_file import holds
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve
from lightbox.storage.stream import BLOCK

COUNT = 6
LENGTHS = (3_000, 300_000, 2 * BLOCK)
"""Of instances that go through the cache, past it, and past it in several blocks."""


def put(store: Store, number: int) -> InstanceStored:
    uid = f"1.2.3.{number}"
    intake = store.accept(
        Incoming(raw.CT_IMAGE, uid, raw.IMPLICIT, "RAW", "LIGHTBOX", "127.0.0.1", "a")
    )
    data = raw.data_set(uid, tail=raw.implicit(0x7FE00010, bytes([number]) * LENGTHS[number % 3]))
    try:
        for at in range(0, len(data), 100_000):
            intake.add(memoryview(data)[at : at + 100_000])
        return intake.finish()
    finally:
        intake.close()


ORDERS: tuple[SyncOrder, ...] = ("together", "in_turn")


@settings(max_examples=40, deadline=None)
@given(operations=st.integers(0, 180), seed=st.integers(0, 2**32), order=st.sampled_from(ORDERS))
def test_what_was_acknowledged_survives_a_power_loss_at_any_operation(
    operations: int, seed: int, order: SyncOrder
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, clock = Path(folder), FakeClock()
        ledger = FakeLedger(clock)  # its own durability is the ledger's to prove
        files = LossyFiles(operations)
        acknowledged: list[InstanceStored] = []
        with (
            suppress(PowerLossError),
            closing(Store(root, files, ledger, clock, Reserve(root, 0), order=order)) as store,
            suppress(RefusedError),
        ):
            acknowledged.extend(put(store, number) for number in range(COUNT))
        files.lose(random.Random(seed))
        again = Store(root, Files(), ledger, clock, Reserve(root, 0), order=order)
        again.close()
        for event in acknowledged:
            assert holds(root / event.instance.path, event.instance)
            assert not is_torn(ledger, event)
        rows = [e for e in ledger.events if isinstance(e, InstanceStored)]
        kept = {root / e.instance.path for e in rows if not is_torn(ledger, e)}
        assert set(root.glob("instances/*/*")) == kept
        assert order == "together" or len(kept) == len(rows)
        come_back(root, ledger, clock, order)


def is_torn(ledger: FakeLedger, event: InstanceStored) -> bool:
    return ledger.find(InstanceTorn.of(event).key) is not None


def come_back(root: Path, ledger: FakeLedger, clock: FakeClock, order: SyncOrder) -> None:
    """Let the sender send all of it again, and account for it."""
    with closing(Store(root, Files(), ledger, clock, Reserve(root, 0), order=order)) as store:
        for number in range(COUNT):
            event = put(store, number)
            assert holds(root / event.instance.path, event.instance)
            assert not is_torn(ledger, event)
    account = Account()
    for row in ledger.rows:
        account.apply(row)
    standings = account.instances()
    assert len(standings) == COUNT
    assert {each.verdict.owner for each in standings} == {"studies"}
    paths = {root / each.instance.path for each in standings}
    assert set(root.glob("instances/*/*")) == paths
    assert len(account.waiting_instances()) == COUNT
