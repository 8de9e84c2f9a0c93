"""M1 to M12: beside each attack a good sender is served, soon, and the listener stays small."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lightbox.tools.bench.attacks import ATTACKS, bench_attacks
from lightbox.tools.bench.memory import MemoryPlan, bench_memory
from lightbox.tools.bench.restart import RestartPlan, bench_restart
from site_of_tests import MODELS

MOST_MIB = 256.0
BUSY = 4
"""A start may take so many times its bar here; `lightbox bench restart` is for a quiet machine."""
_SERVED = re.compile(r"served (\d+) of (\d+); memory \d+ to (\d+) MiB; (.*); others:")


@pytest.mark.slow
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_an_attack_harms_no_good_sender(name: str, figure: Callable[[str], None]) -> None:
    (case,) = bench_attacks(lambda _: None, (name,), look=1.0)
    found = _SERVED.search(case.note)
    assert found is not None, case.note
    served, tried, peak, words = found.groups()
    assert served == tried, case.note
    assert case.ours < case.peers["bar"], case.note
    assert float(peak) < MOST_MIB
    figure(f"{served} of {tried} served, C-ECHO p99 {case.ours:.0f} ms, {peak} MiB; {words}")


@pytest.mark.slow
def test_nothing_that_is_large_is_in_memory_at_once(figure: Callable[[str], None]) -> None:
    plan = MemoryPlan(images=500, largest=2**28)
    for case in bench_memory(plan, lambda _: None):
        assert case.ours < case.peers["bar"], case
        figure(f"{case.name}: {case.ours:.0f} MiB")


@pytest.mark.slow
def test_all_that_waited_goes_on_after_kill_9(figure: Callable[[str], None]) -> None:
    for case in bench_restart(MODELS, RestartPlan(pending=1000), lambda _: None):
        assert case.ours < BUSY * case.peers["bar"], case
        figure(f"{case.name}: {case.ours:.1f} s, {case.note}")
