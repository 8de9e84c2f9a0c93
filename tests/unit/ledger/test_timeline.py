"""Readers beside writers: what they see, in which order, and that they never stand in the way."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOON, a_job, a_predicted, a_stored, an_instance
from fakes.clock import FakeClock
from lightbox.domain.account import Account
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import JobPlaced
from lightbox.ledger.reconcile import reconcile
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.tables import chain_file
from lightbox.ledger.timeline import LedgerReader


def test_chains_come_in_time_order(tmp_path: Path) -> None:
    clock = FakeClock()
    receive = SqliteLedger(tmp_path, "receive", clock)
    control = SqliteLedger(tmp_path, "control", clock)
    names: list[str] = []
    for n in range(6):
        ledger = (receive, control)[n % 2]
        (row,) = ledger.record(a_stored(an_instance(str(n))))
        names.append(row.event.key)
        clock.advance(1)
    assert [row.event.key for row in receive.since({})] == names
    assert [row.event.key for row in control.timeline(an_instance().study_instance_uid)] == names
    receive.close()
    control.close()


def test_a_chain_keeps_its_order_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = FakeClock()
    ledger = SqliteLedger(tmp_path, "receive", clock)
    for n in range(4):
        ledger.record(a_stored(an_instance(str(n))))
        clock.jump(-3600)
    assert [row.sequence for row in ledger.since({})] == [1, 2, 3, 4]
    study = an_instance().study_instance_uid
    assert [row.sequence for row in ledger.timeline(study)] == [1, 2, 3, 4]
    ledger.close()


def test_more_rows_than_a_page_come_complete(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    ledger.record(*(a_stored(an_instance(str(n))) for n in range(4500)))
    rows = ledger.since({"receive": 100})
    assert [row.sequence for row in rows] == list(range(101, 4501))
    ledger.close()


def test_a_key_in_several_chains_is_found_at_its_first_time(tmp_path: Path) -> None:
    clock = FakeClock()
    work = SqliteLedger(tmp_path, "work", clock)
    (first,) = work.record(a_stored())
    clock.advance(1)
    control = SqliteLedger(tmp_path, "control", clock)
    control.record(a_stored())
    assert control.find(first.event.key) == first
    work.close()
    control.close()


def test_a_reader_in_the_middle_of_its_rows_does_not_hold_the_writer_up(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    ledger.record(*(a_stored(an_instance(str(n))) for n in range(10)))
    reader = LedgerReader(tmp_path)
    rows = reader.stream()
    assert next(rows).sequence == 1
    assert ledger.record(a_stored(an_instance("more")))[0].sequence == 11
    assert len(list(rows)) == 9
    reader.close()
    ledger.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    SqliteLedger(tmp_path, "receive", FakeClock()).close()
    reader = LedgerReader(tmp_path)
    with (
        reader._engine("receive").connect() as connection,
        pytest.raises(Exception, match="readonly"),
    ):
        connection.exec_driver_sql("DELETE FROM ledger")
    reader.close()


def test_a_file_without_its_table_yet_has_no_rows(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "receive.sqlite").close()
    (tmp_path / "receive.sqlite").touch()
    reader = LedgerReader(tmp_path)
    assert reader.since({}) == ()
    assert reader.heads() == {}
    assert reader.timeline("1.2.3") == ()
    reader.close()


def test_a_row_of_a_newer_version_is_named(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    ledger.record(a_stored())
    ledger.close()
    with sqlite3.connect(tmp_path / "receive.sqlite") as connection:
        connection.execute("""UPDATE ledger SET body = '{"kind":"of_the_future"}'""")
    connection.close()
    with pytest.raises(LedgerError, match="chain receive, sequence 1: holds no event"):
        LedgerReader(tmp_path).since({})


def test_the_timelines_of_many_studies_come_as_one(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    ledger.record(*(a_stored(an_instance(str(n), study=f"1.2.{n}")) for n in range(1100)))
    reader = LedgerReader(tmp_path)
    wanted = {f"1.2.{n}" for n in range(0, 1100, 2)}
    assert {row.event.study for row in reader.timelines(wanted)} == wanted
    assert reader.timelines(set()) == ()
    reader.close()
    ledger.close()


def test_no_events_of_no_study(tmp_path: Path) -> None:
    assert LedgerReader(tmp_path).timeline("") == ()


@pytest.mark.parametrize("name", ["receive\n", "", "../receive", "Receive", "a.b", "a/b", "a" * 33])
def test_a_chain_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(LedgerError, match="plain"):
        chain_file(tmp_path, name)


def test_a_folder_name_with_characters_of_uris_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d"
    ledger = SqliteLedger(folder, "receive", FakeClock())
    ledger.record(a_stored())
    ledger.close()
    assert len(LedgerReader(folder).since({})) == 1


def test_rows_of_all_chains_make_one_account(tmp_path: Path) -> None:
    job = a_job()
    control = SqliteLedger(tmp_path, "control", FakeClock(NOON))
    work = SqliteLedger(tmp_path, "work", FakeClock(NOON + 1))
    receive = SqliteLedger(tmp_path, "receive", FakeClock(NOON + 2))
    work.record(a_predicted(job))
    control.record(JobPlaced(job))
    receive.record(a_stored(job.instances[0]))
    account = reconcile(LedgerReader(tmp_path), Account())
    assert account.strangers() == ()
    for ledger in (control, work, receive):
        ledger.close()


def test_every_content_that_came_under_a_uid_is_found_and_no_other(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path, "receive", FakeClock())
    one = an_instance("1")
    other = replace(one, sha256="ab" * 32)
    longer = replace(one, sop_instance_uid=f"{one.sop_instance_uid}1")
    ledger.record(a_stored(one), a_stored(other), a_stored(longer))
    assert set(ledger.instances_of(one.sop_instance_uid)) == {one, other}
    assert ledger.instances_of("1.2.3") == ()
    ledger.close()
