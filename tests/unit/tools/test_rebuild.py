"""A damaged ledger begins again: nothing acknowledged is lost, and every proof states the break."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import raw_peer as raw
from builders import NOON, a_job, a_ready_study
from fakes.clock import FakeClock
from lightbox.app.processes.supervisor import lock_data_dir
from lightbox.domain.errors import ConfigurationError, LedgerError, UsageError
from lightbox.domain.events import (
    ChainRebuilt,
    FilesRemoved,
    InstanceStored,
    JobPlaced,
    RemovedFile,
    ServiceMarked,
)
from lightbox.ledger.prove import check, prove
from lightbox.ledger.report import proof_json
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import LedgerReader
from lightbox.receive.intake import Incoming
from lightbox.receive.store import Store
from lightbox.storage.files import Files
from lightbox.storage.reserve import Reserve
from lightbox.tools.rebuild import REBUILT, rebuild

COUNT = 60
PAGE = 4096


def uid(number: int) -> str:
    return f"1.2.3.{number}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data directory with instances, each acknowledged, and another chain that saw the heads."""
    clock = FakeClock(NOON)
    with closing(SqliteLedger(tmp_path / "ledger", "receive", clock)) as ledger:
        ledger.record(ServiceMarked("receive", "started", "0.2.0", NOON, {}))
        for stored in put(tmp_path, ledger, range(COUNT)):
            assert stored.again == 0
        heads = dict(ledger.heads())
        ledger.record(ServiceMarked("receive", "stopped", "0.2.0", NOON + 1, heads))
        heads = dict(ledger.heads())
    with closing(SqliteLedger(tmp_path / "ledger", "control", clock)) as ledger:
        ledger.record(ServiceMarked("control", "started", "0.2.0", NOON, heads))
    return tmp_path


def put(root: Path, ledger: SqliteLedger, numbers: range) -> Iterator[InstanceStored]:
    clock = FakeClock(NOON)
    with closing(Store(root, Files(), ledger, clock, Reserve(root, 0))) as store:
        for number in numbers:
            incoming = Incoming(
                raw.CT_IMAGE, uid(number), raw.IMPLICIT, "PACS", "LIGHTBOX", "", "a"
            )
            intake = store.accept(incoming)
            intake.add(
                memoryview(raw.data_set(uid(number), tail=raw.implicit(0x7FE00010, b"x" * 500)))
            )
            event = intake.finish()
            intake.close()
            yield event


def events(root: Path, chain: str = "receive") -> list[object]:
    with closing(LedgerReader(root / "ledger")) as reader:
        return [row.event for row in reader.stream() if row.chain == chain]


def stored(root: Path) -> list[InstanceStored]:
    return [event for event in events(root) if isinstance(event, InstanceStored)]


def overwrite(file: Path, start: int, length: int, seed: int = 1) -> None:
    with file.open("r+b") as it:
        it.seek(start)
        it.write(random.Random(seed).randbytes(length))


def damage_the_middle(file: Path) -> None:
    overwrite(file, file.stat().st_size // 2 // PAGE * PAGE, PAGE)


def damage_the_first_page(file: Path) -> None:
    overwrite(file, 0, 200)


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def remove(file: Path) -> None:
    file.unlink()


DAMAGES = [damage_the_middle, damage_the_first_page, cut_in_half, empty, remove]


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_acknowledged_instance_has_a_row_again(
    root: Path, damage: Callable[[Path], None]
) -> None:
    damage(root / "ledger" / "receive.sqlite")
    assert not check(root / "ledger", root).ok
    done = rebuild(root, "anna", FakeClock(NOON + 60))
    assert [row.chain for row in done.chains] == ["receive"]
    assert done.unsure == ()
    rows = stored(root)
    assert sorted(e.instance.sop_instance_uid for e in rows) == sorted(map(uid, range(COUNT)))
    proof = check(root / "ledger", root)
    assert proof.ok, proof.problems
    assert (proof.accepted, proof.files) == (COUNT, COUNT)


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_proof_from_then_on_states_the_break(
    root: Path, damage: Callable[[Path], None]
) -> None:
    file = root / "ledger" / "receive.sqlite"
    damage(file)
    was = file.read_bytes() if file.exists() else None
    (row,) = rebuild(root, "anna", FakeClock(NOON + 60)).chains
    (said,) = prove(root / "ledger").breaks
    assert said.startswith("chain receive, sequence ")
    assert "rebuilt by anna on 2026-09-21" in said
    assert proof_json(prove(root / "ledger"))["breaks"] == [said]
    assert row.taken_over + row.taken_in + row.lost > 0
    if was is not None:
        assert (root / row.kept_in / "receive.sqlite").read_bytes() == was


def test_what_proves_before_the_damage_is_kept_and_what_is_behind_it_is_taken_over(
    root: Path,
) -> None:
    file = root / "ledger" / "receive.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        before = connection.execute("SELECT digest FROM ledger ORDER BY sequence").fetchall()
    damage_the_middle(file)
    (row,) = rebuild(root, "anna", FakeClock(NOON + 60)).chains
    with closing(sqlite3.connect(file)) as connection:
        after = connection.execute("SELECT digest FROM ledger ORDER BY sequence").fetchall()
    kept = next(n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    assert kept > 5
    assert row.taken_over > 5
    assert row.lost == len(before) - kept - row.taken_over
    assert isinstance(events(root)[kept], ChainRebuilt)


def test_what_is_taken_in_from_files_says_so_and_who_sent_it(root: Path) -> None:
    remove(root / "ledger" / "receive.sqlite")
    rebuild(root, "anna", FakeClock(NOON + 60))
    arrivals = {(e.arrival.association, e.arrival.calling_ae) for e in stored(root)}
    assert arrivals == {(REBUILT, "PACS")}


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE ledger SET body = replace(body, 'PACS', 'FAKE') WHERE sequence IN (20, 21, 40)",
        "UPDATE ledger SET digest = replace(digest, 'a', 'b') WHERE sequence IN (20, 40)",
        "UPDATE ledger SET at = at + 1 WHERE sequence = 61",
    ],
)
def test_an_instance_whose_row_contradicts_the_others_is_taken_in_again(
    root: Path, edit: str
) -> None:
    with closing(sqlite3.connect(root / "ledger" / "receive.sqlite")) as connection, connection:
        connection.execute(edit)
    (row,) = rebuild(root, "anna", FakeClock(NOON + 60)).chains
    assert row.taken_in > 0
    assert sorted(e.instance.sop_instance_uid for e in stored(root)) == sorted(
        map(uid, range(COUNT))
    )
    assert {e.arrival.calling_ae for e in stored(root)} == {"PACS"}
    proof = check(root / "ledger", root)
    assert proof.ok, proof.problems


@pytest.mark.parametrize("seed", range(8))
def test_wherever_the_bytes_are_overwritten_all_is_accounted_for_again(
    root: Path, seed: int
) -> None:
    file = root / "ledger" / "receive.sqlite"
    draw = random.Random(seed)
    for _ in range(draw.randint(1, 4)):
        overwrite(file, draw.randrange(file.stat().st_size - 600), draw.randint(1, 600), seed)
    rebuild(root, "anna", FakeClock(NOON + 60))
    proof = check(root / "ledger", root)
    assert proof.ok, proof.problems
    assert proof.accepted == COUNT


def test_the_service_goes_on_with_a_rebuilt_chain(root: Path) -> None:
    damage_the_middle(root / "ledger" / "receive.sqlite")
    rebuild(root, "anna", FakeClock(NOON + 60))
    with closing(SqliteLedger(root / "ledger", "receive", FakeClock(NOON + 90))) as ledger:
        again = list(put(root, ledger, range(COUNT + 1)))
    assert sum(1 for e in again if e.again) == 0
    assert len(stored(root)) == COUNT + 1
    assert prove(root / "ledger").ok


def test_a_second_damage_is_a_second_break(root: Path) -> None:
    damage_the_middle(root / "ledger" / "receive.sqlite")
    rebuild(root, "anna", FakeClock(NOON + 60))
    file = root / "ledger" / "receive.sqlite"
    overwrite(file, file.stat().st_size - PAGE, PAGE)
    rebuild(root, "anna", FakeClock(NOON + 120))
    proof = check(root / "ledger", root)
    assert proof.ok, proof.problems
    assert len(proof.breaks) == 2


def test_a_lost_chain_of_control_begins_again_and_says_so(root: Path) -> None:
    with closing(SqliteLedger(root / "ledger", "receive", FakeClock(NOON))) as ledger:
        ledger.record(ServiceMarked("receive", "stopped", "0.2.0", NOON + 2, dict(ledger.heads())))
    remove(root / "ledger" / "control.sqlite")
    (row,) = rebuild(root, "anna", FakeClock(NOON + 60)).chains
    assert (row.chain, row.reason) == ("control", "was lost")
    proof = prove(root / "ledger")
    assert proof.ok, proof.problems
    assert len(proof.breaks) == 1


def test_instances_whose_files_were_removed_on_purpose_are_known_from_other_chains(
    root: Path,
) -> None:
    first = stored(root)[0].instance
    with closing(SqliteLedger(root / "ledger", "control", FakeClock(NOON))) as ledger:
        ledger.record(a_ready_study(first), JobPlaced(a_job(first)))
        removed = (RemovedFile(first.path, first.sha256),)
        ledger.record(FilesRemoved(first.study_instance_uid, 0, "retention", NOON, removed))
    (root / first.path).unlink()
    remove(root / "ledger" / "receive.sqlite")
    rebuild(root, "anna", FakeClock(NOON + 60))
    assert first in [event.instance for event in stored(root)]
    proof = check(root / "ledger", root)
    assert proof.ok, proof.problems


def test_a_file_that_was_never_acknowledged_is_set_aside_not_analysed(root: Path) -> None:
    half = root / "instances" / "20260921" / "half.dcm"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"x" * 2000)
    damage_the_middle(root / "ledger" / "receive.sqlite")
    done = rebuild(root, "anna", FakeClock(NOON + 60))
    assert done.unsure == ("instances/20260921/half.dcm",)
    assert not half.exists()
    assert (root / done.chains[0].kept_in / "half.dcm").read_bytes() == b"x" * 2000


def test_an_undamaged_ledger_is_left_as_it_is(root: Path) -> None:
    before = (root / "ledger" / "receive.sqlite").read_bytes()
    assert rebuild(root, "anna", FakeClock(NOON + 60)).chains == ()
    assert (root / "ledger" / "receive.sqlite").read_bytes() == before
    assert not (root / "set_aside").exists()


def test_a_lost_file_is_not_begun_anew_behind_the_back_of_those_who_saw_it(root: Path) -> None:
    remove(root / "ledger" / "receive.sqlite")
    with pytest.raises(LedgerError, match=r"holds no row, and chain control.*ledger rebuild"):
        SqliteLedger(root / "ledger", "receive", FakeClock())


def test_without_any_ledger_acknowledged_files_stop_the_start(root: Path) -> None:
    for file in (root / "ledger").iterdir():
        file.unlink()
    with (
        closing(SqliteLedger(root / "ledger", "receive", FakeClock())) as ledger,
        pytest.raises(LedgerError, match=r"acknowledged instances are stored.*ledger rebuild"),
    ):
        Store(root, Files(), ledger, FakeClock(), Reserve(root, 0))
    rebuild(root, "anna", FakeClock(NOON + 60))
    assert len(stored(root)) == COUNT


def test_beside_a_running_service_nothing_is_rebuilt(root: Path) -> None:
    lock = lock_data_dir(root, FakeClock())
    try:
        with pytest.raises(ConfigurationError, match="is in use by another lightbox"):
            rebuild(root, "anna", FakeClock())
    finally:
        os.close(lock)


def test_where_nothing_was_ever_stored_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no ledger"):
        rebuild(tmp_path, "anna", FakeClock())
    assert not list(tmp_path.iterdir())
