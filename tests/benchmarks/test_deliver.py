"""The delivery benchmark goes through the outbox that the service has, and measures what waits."""

from __future__ import annotations

import json
import shutil

from fakes.clock import FakeClock
from lightbox.tools.bench.deliver import DeliverPlan, bench_deliver
from lightbox.tools.bench.report import as_json


def test_deliver_measures_four_results_beside_storescu_and_the_memory_of_what_waits() -> None:
    answer = as_json(bench_deliver(DeliverPlan(studies=2, waiting=400)), FakeClock())
    stored, each, outbox, account = answer["cases"]
    assert stored["name"].startswith("4 results stored in ")
    assert stored["peers"].keys() == {"goal"} | (
        {"storescu"} if shutil.which("storescu") else set()
    )
    assert 0 < each["ours"] < stored["ours"]
    assert [case["name"] for case in (outbox, account)] == [
        "400 waiting results, outbox",
        "400 waiting results, outbox and account",
    ]
    assert 0 <= outbox["ours"] <= 20
    assert json.dumps(answer)
