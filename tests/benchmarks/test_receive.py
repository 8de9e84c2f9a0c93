"""The receive benchmark feeds every receiver the same, and counts only what was stored."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from lightbox.cli.main import run
from lightbox.tools.bench.receive import ReceivePlan, bench_receive
from lightbox.tools.bench.report import as_json
from lightbox.tools.bench.sender import (
    accepted_length,
    in_pieces,
    p_data,
    status_of,
    store_rq,
    uid_of,
)
from lightbox.tools.orthanc import is_installed
from site_of_tests import MODELS

INSTALLED = {
    name
    for name, there in (
        ("storescp", shutil.which("storescp")),
        ("storescp + fsync", shutil.which("storescp") and shutil.which("cc")),
        ("Orthanc", is_installed()),
    )
    if there
}


def test_receive_measures_a_size_beside_the_receivers_that_are_installed() -> None:
    plan = ReceivePlan(rounds=1, instances=4, senders=(2,), parts=("small",))
    answer = as_json(bench_receive(plan), FakeClock())
    assert [case["name"] for case in answer["cases"]] == [
        "receive small, 2 senders",
        "response small, 2 senders",
        "response small, 2 senders, p99",
    ]
    for case in answer["cases"]:
        assert case["ours"] > 0
        assert set(case["peers"]) == set(case["ratio"]) == INSTALLED
    assert json.dumps(answer)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_memory_nagle_senders_and_a_slower_disk_are_measured_too() -> None:
    plan = ReceivePlan(rounds=1, instances=1, parts=("20 MB", "nagle", "slow disk"))
    cases = {case.name: case for case in bench_receive(plan)}
    slow = [case for name, case in cases.items() if "+3 ms" in name and "response" in name]
    assert len(slow) == 6
    assert all(case.ours >= 3.0 for case in slow)  # an answer waits for a sync
    assert cases["receive small, Nagle sender"].ours > 0
    assert 10 < cases["memory of the listener"].ours < 500


@pytest.mark.slow
def test_receiving_is_measured_with_an_audit_running_and_held() -> None:
    plan = ReceivePlan(rounds=1, instances=4, parts=("audit",))
    (case,) = bench_receive(plan, MODELS)
    assert case.ours > 0
    assert set(case.peers) == {"no audit"}


def test_pieces_of_a_nagle_sender_are_its_stream() -> None:
    stream = p_data(bytes(range(40)), command=False, longest=26)
    pieces = [bytes(piece) for piece in in_pieces(stream)]
    assert b"".join(pieces) == stream
    assert [len(piece) for piece in pieces] == [12, 20, 12, 20]


def test_a_wrong_number_of_rounds_is_wrong_use(tmp_path: Path) -> None:
    assert run(["bench", "receive", "--rounds", "0", "--json", str(tmp_path / "x.json")]) == 2
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("length", [1, 10, 11, 25])
def test_p_data_is_cut_to_the_peers_length_and_the_last_piece_says_so(length: int) -> None:
    data, out, pieces = bytes(range(length)), b"", []
    stream = p_data(data, command=False, longest=16)
    while stream:
        kind, _, size = struct.unpack_from(">BBL", stream)
        assert kind == 4
        assert size <= 16
        pieces.append(stream[11])
        out += stream[12 : 6 + size]
        stream = stream[6 + size :]
    assert out == data
    assert pieces == [0] * (len(pieces) - 1) + [2]


def test_uids_of_copies_are_valid_different_and_of_one_length() -> None:
    uids = {uid_of(sender, copy) for sender in (1, 99) for copy in (0, 1, 12345)}
    assert len(uids) == 6
    assert {len(uid) for uid in uids} == {len(uid_of(0, 0))}
    assert all(part == "0" or part[0] != "0" for uid in uids for part in uid.split("."))


def test_a_status_that_is_not_there_is_no_success() -> None:
    assert status_of(bytes(6) + store_rq("1.2", "1.3")) != 0


def test_a_context_that_is_not_accepted_allows_nothing() -> None:
    refused = bytes(68) + struct.pack(">BBH", 0x21, 0, 4) + bytes([1, 0, 3, 0])
    assert accepted_length(refused) == 0
