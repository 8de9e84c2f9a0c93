"""Whatever is done to the rows behind our back is found, and named by chain and sequence."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import NOON, a_job, a_ready_study, a_result, a_stored, a_written, an_instance
from fakes.clock import FakeClock
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Delivered, Event, InstanceListed, JobPlaced, ServiceMarked
from lightbox.domain.result import ListedReason
from lightbox.ledger.chain import digest, genesis
from lightbox.ledger.prove import check, prove
from lightbox.ledger.report import proof_json
from lightbox.ledger.sqlite_ledger import SqliteLedger

ROWS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "receive", *(a_stored(an_instance(str(n))) for n in range(ROWS)))
    return tmp_path


def write(folder: Path, chain: str, *events: Event) -> None:
    ledger = SqliteLedger(folder, chain, FakeClock())
    ledger.record(*events)
    ledger.close()


def tamper(folder: Path, *statements: str, chain: str = "receive") -> None:
    with closing(sqlite3.connect(folder / f"{chain}.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def anchor(folder: Path) -> None:
    """Let another chain note the heads, as every start and stop does."""
    ledger = SqliteLedger(folder, "control", FakeClock())
    heads = dict(ledger.heads())
    ledger.record(ServiceMarked("control", "started", "0.1.0", NOON, heads))
    ledger.close()


def test_an_untouched_ledger_proves(folder: Path) -> None:
    anchor(folder)
    proof = prove(folder)
    assert proof.ok
    assert proof.problems == ()
    assert proof.chains == {"control": 1, "receive": ROWS}
    assert (proof.accepted, proof.in_progress) == (ROWS, ROWS)


def test_a_folder_without_chains_proves_with_nothing(tmp_path: Path) -> None:
    proof = prove(tmp_path / "none")
    assert (proof.ok, proof.rows, proof.accepted) == (True, 0, 0)


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (
            ["UPDATE ledger SET body = replace(body, 'MODALITY', 'STRANGER') WHERE sequence = 5"],
            "5",
        ),
        (["UPDATE ledger SET body = '{}' WHERE sequence = 5"], "5"),
        (["UPDATE ledger SET at = at + 1 WHERE sequence = 5"], "5"),
        (["UPDATE ledger SET key = 'instance_stored:x' WHERE sequence = 5"], "5"),
        (["UPDATE ledger SET study = '' WHERE sequence = 5"], "5"),
        (["UPDATE ledger SET digest = upper(digest) WHERE sequence = 5"], "5"),
        (["DELETE FROM ledger WHERE sequence = 5"], "5"),
        (["DELETE FROM ledger WHERE sequence = 1"], "1"),
        (["DELETE FROM ledger WHERE sequence BETWEEN 5 AND 7"], "5 to 7"),
        ([f"DELETE FROM ledger WHERE sequence = {ROWS}"], f"{ROWS}"),
        (["DELETE FROM ledger"], f"1 to {ROWS}"),
        (["UPDATE head SET digest = '00'"], f"{ROWS}"),
        (["UPDATE head SET sequence = 5"], "5"),
        (
            [  # two rows change places
                "UPDATE ledger SET sequence = -1 WHERE sequence = 5",
                "UPDATE ledger SET sequence = 5 WHERE sequence = 6",
                "UPDATE ledger SET sequence = 6 WHERE sequence = -1",
            ],
            "5",
        ),
        (
            [  # a row is removed and the others close ranks
                "DELETE FROM ledger WHERE sequence = 5",
                "UPDATE ledger SET sequence = -sequence WHERE sequence > 5",
                "UPDATE ledger SET sequence = -sequence - 1 WHERE sequence < 0",
            ],
            "5",
        ),
        (
            [  # a row is put in between
                "UPDATE ledger SET sequence = -sequence WHERE sequence > 5",
                "UPDATE ledger SET sequence = -sequence + 1 WHERE sequence < 0",
                "INSERT INTO ledger SELECT 6, at, key || 'x', study, body, digest FROM ledger WHERE sequence = 5",
            ],
            "6",
        ),
        (
            [
                f"INSERT INTO ledger SELECT {ROWS + 1}, at, key || 'x', study, body, digest FROM ledger WHERE sequence = 5"
            ],
            f"{ROWS + 1}",
        ),
    ],
)
def test_tampering_is_found_and_named(folder: Path, statements: list[str], named: str) -> None:
    tamper(folder, *statements)
    proof = prove(folder)
    assert not proof.ok
    assert f"chain receive, sequence {named} " in proof.problems[0]


def test_many_problems_of_one_chain_are_counted_not_all_told(tmp_path: Path) -> None:
    write(tmp_path, "receive", *(a_stored(an_instance(str(n))) for n in range(60)))
    tamper(tmp_path, "UPDATE ledger SET at = at + 1")
    problems = prove(tmp_path).problems
    assert len(problems) == 21
    assert problems[-1] == "receive: 40 more of these"


def test_an_edit_with_its_digest_made_right_is_found_at_the_next_row(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "receive.sqlite")) as connection:
        rows = connection.execute("SELECT * FROM ledger WHERE sequence IN (4, 5)").fetchall()
        _, at, key, study, body, _ = rows[1]
        edited = body.replace("MODALITY", "STRANGER")
        made = digest(rows[0][5], 5, at, (key, study, edited))
        connection.execute(
            "UPDATE ledger SET body = ?, digest = ? WHERE sequence = 5", (edited, made)
        )
        connection.commit()
    assert "chain receive, sequence 6 " in prove(folder).problems[0]


def truncate_cleverly(folder: Path, last: int) -> None:
    tamper(
        folder,
        f"DELETE FROM ledger WHERE sequence > {last}",
        f"UPDATE head SET sequence = {last}, "
        f"digest = (SELECT digest FROM ledger WHERE sequence = {last})",
    )


def test_a_tail_cut_off_with_its_head_is_found_by_the_anchor_of_another_chain(
    folder: Path,
) -> None:
    anchor(folder)
    truncate_cleverly(folder, ROWS - 1)
    proof = prove(folder)
    assert not proof.ok
    assert "chain receive" in proof.problems[0]
    assert "anchored by chain control, sequence 1" in proof.problems[0]


def test_a_chain_rewritten_from_an_edited_row_on_is_found_by_its_anchor(folder: Path) -> None:
    anchor(folder)
    with closing(sqlite3.connect(folder / "receive.sqlite")) as connection:
        previous = genesis("receive")
        for sequence, at, key, study, body, _ in connection.execute(
            "SELECT * FROM ledger ORDER BY sequence"
        ).fetchall():
            text = body.replace("MODALITY", "STRANGER") if sequence == 5 else body
            previous = digest(previous, sequence, at, (key, study, text))
            connection.execute(
                "UPDATE ledger SET body = ?, digest = ? WHERE sequence = ?",
                (text, previous, sequence),
            )
        connection.execute("UPDATE head SET digest = ?", (previous,))
        connection.commit()
    assert "anchored by chain control" in prove(folder).problems[0]


def test_a_chain_whose_file_was_removed_is_found_by_its_anchor(folder: Path) -> None:
    anchor(folder)
    (folder / "receive.sqlite").unlink()
    assert prove(folder).problems[0].startswith("chain receive, anchored by chain control")


def test_a_chain_under_another_name_does_not_prove(folder: Path) -> None:
    (folder / "receive.sqlite").rename(folder / "control.sqlite")
    assert not prove(folder).ok


def test_a_removed_acceptance_is_unaccounted_even_where_its_chain_looks_whole(
    folder: Path,
) -> None:
    job = a_job(an_instance(str(ROWS - 1)))
    write(folder, "control", JobPlaced(job))
    truncate_cleverly(folder, ROWS - 1)
    proof = prove(folder)
    assert (proof.ok, proof.unaccounted) == (False, 1)
    assert job.instances[0].sop_instance_uid in proof.problems[0]


def test_a_file_that_is_no_database_is_a_problem_not_a_crash(folder: Path) -> None:
    (folder / "control.sqlite").write_bytes(b"garbage" * 1000)
    assert "chain control" in prove(folder).problems[0]


def spoil_root_page(folder: Path, name: str) -> None:
    path = folder / "receive.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        page = connection.execute(query, (name,)).fetchone()[0]
    content = bytearray(path.read_bytes())
    content[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
    path.write_bytes(content)


def test_a_page_of_garbage_is_a_problem_not_a_crash(folder: Path) -> None:
    spoil_root_page(folder, "ledger")
    assert not prove(folder).ok


def test_a_spoilt_index_is_found_by_a_check(folder: Path) -> None:
    spoil_root_page(folder, "ledger_key")
    assert any("chain receive" in p for p in check(folder, folder, kept_since=NOON * 2).problems)


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE ledger SET body = '{{}}' WHERE sequence = {ROWS}",
        f"DELETE FROM ledger WHERE sequence = {ROWS}",
        "DELETE FROM ledger WHERE sequence = 5",
        "DELETE FROM ledger WHERE sequence = 1",
        "DELETE FROM ledger",
        "DELETE FROM head",
    ],
)
def test_a_chain_whose_newest_rows_are_damaged_is_not_written_to(
    folder: Path, statement: str
) -> None:
    tamper(folder, statement)
    with pytest.raises(LedgerError, match=r"chain receive.*ledger rebuild"):
        SqliteLedger(folder, "receive", FakeClock())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sequence=st.integers(1, ROWS),
    column=st.sampled_from(["at", "key", "study", "body", "digest"]),
    position=st.integers(0, 10**6),
)
def test_one_changed_character_anywhere_is_found(
    tmp_path_factory: pytest.TempPathFactory, sequence: int, column: str, position: int
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    write(folder, "receive", *(a_stored(an_instance(str(n))) for n in range(ROWS)))
    with closing(sqlite3.connect(folder / "receive.sqlite")) as connection:
        query = f"SELECT {column} FROM ledger WHERE sequence = ?"
        value = connection.execute(query, (sequence,)).fetchone()[0]
        if isinstance(value, float):
            value += 0.001
        else:
            at = position % len(value)
            value = value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
        connection.execute(f"UPDATE ledger SET {column} = ? WHERE sequence = ?", (value, sequence))
        connection.commit()
    proof = prove(folder)
    assert not proof.ok
    assert f"sequence {sequence}" in proof.problems[0]


def test_each_disposition_is_counted_once(tmp_path: Path) -> None:
    given_up, done, new = an_instance("1"), an_instance("2"), an_instance("3")
    job = a_job(done)
    write(tmp_path, "receive", a_stored(given_up), a_stored(done), a_stored(new))
    listed = InstanceListed(
        given_up.study_instance_uid,
        given_up.sop_instance_uid,
        given_up.sha256,
        ListedReason.NO_MODEL,
        "no model takes it",
    )
    sent = Delivered(job.study_instance_uid, job.job_id, a_result(job).sop_instance_uid, "pacs", 1)
    write(tmp_path, "control", listed, a_ready_study(done), JobPlaced(job), sent)
    write(tmp_path, "work", a_written(job))
    proof = prove(tmp_path, ("pacs",))
    assert proof.ok
    assert (proof.accepted, proof.delivered, proof.listed, proof.in_progress) == (3, 1, 1, 1)
    assert proof_json(proof)["unaccounted"] == 0


def test_proving_beside_a_running_writer_finds_nothing_wrong(tmp_path: Path) -> None:
    chains = [SqliteLedger(tmp_path, name, FakeClock()) for name in ("receive", "control", "work")]
    receive, control, work = chains
    stop = threading.Event()

    def serve() -> None:
        for n in itertools.count():
            if stop.is_set():
                return
            job = a_job(an_instance(str(n)))
            receive.record(a_stored(job.instances[0]))
            control.record(JobPlaced(job))
            work.record(a_written(job))

    service = threading.Thread(target=serve)
    service.start()
    proofs = [prove(tmp_path) for _ in range(15)]
    stop.set()
    service.join(60)
    assert [proof.problems for proof in proofs if not proof.ok] == []
    assert proofs[-1].rows > proofs[0].rows
    for ledger in chains:
        ledger.close()


def test_a_long_proof_says_how_far_it_has_come(tmp_path: Path) -> None:
    write(tmp_path, "receive", *(a_stored(an_instance(str(n))) for n in range(2100)))
    said: list[int] = []
    assert prove(tmp_path, told=said.append).rows == 2100
    assert said == [1000, 2000]
