"""What will be late is written down while there is still time, once, and counted."""

from __future__ import annotations

from collections.abc import Mapping

from builders import NOON, a_job, a_placed_job, an_instance
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.questions.foresight import Foresight
from lightbox.domain.events import MissExpected
from lightbox.domain.urgency import Urgency


class Bench:
    """Control's loop, a look every quarter of a second."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOON)
        self.ledger = FakeLedger(self.clock)
        self.counts: Mapping[Urgency, int] = {}
        self.foresight = Foresight(self.ledger, self._tell, self.clock)

    def _tell(self, counts: Mapping[Urgency, int]) -> None:
        self.counts = counts

    def run(self, seconds: float) -> list[MissExpected]:
        """Let time pass; return what was said in it."""
        before = len(self.ledger.events)
        for _ in range(int(seconds / 0.25)):
            self.clock.advance(0.25)
            self.foresight.look()
            self.foresight.follow(self.ledger.since({}))
        return [e for e in self.ledger.events[before:] if isinstance(e, MissExpected)]


def test_a_stat_study_that_nobody_takes_is_said_before_its_two_seconds_are_over() -> None:
    bench = Bench()
    stat = a_job(an_instance("1"), urgency=Urgency.STAT)
    bench.ledger.record(a_placed_job(an_instance("1"), urgency=Urgency.STAT))
    bench.foresight.follow(bench.ledger.since({}))
    assert bench.run(1.0) == []
    (said,) = bench.run(0.9)
    assert (said.job_id, said.deadline) == (stat.job_id, NOON + 2.0)
    row = bench.ledger.find(said.key)
    assert row is not None
    assert row.at < said.deadline < said.expected_at
    assert bench.counts[Urgency.STAT] == 1
    assert bench.run(10.0) == []
