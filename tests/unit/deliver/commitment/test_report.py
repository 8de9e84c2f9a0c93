"""Storage commitment as SCP: a report is owed until it is delivered or given up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.deliver.commitment.report import STRANGERS, Reporter
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.commitment import (
    NO_SUCH_INSTANCE,
    CommitmentAnswered,
    CommitmentRequested,
    Failure,
    Reference,
)
from lightbox.settings import DestinationSettings

CT1 = DestinationSettings(name="ct", ae_title="CT1", retries=2, retry_first=30.0)
HELD, LOST = Reference("1.2", "1.2.3"), Reference("1.2", "1.2.4")
REQUEST = CommitmentRequested("2.25.9", "CT1", "10.0.0.1", (HELD, LOST))


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.sent: list[tuple[str, str, list[Reference], list[Failure]]] = []
        self.refusals = 0
        self.seen = 0
        self.reporter = self.started()

    def started(self) -> Reporter:
        return Reporter(
            {"CT1": CT1},
            judge=lambda reference: 0 if reference == HELD else NO_SUCH_INSTANCE,
            send=self.send,
            ledger=self.ledger,
            clock=self.clock,
        )

    def send(
        self,
        peer: DestinationSettings,
        transaction: str,
        kept: Sequence[Reference],
        failed: Sequence[Failure],
    ) -> None:
        if self.refusals:
            self.refusals -= 1
            raise DestinationError(Action.UNREACHABLE, peer.name, "connection refused", "start it")
        self.sent.append((peer.name, transaction, list(kept), list(failed)))

    def run(self) -> None:
        for row in self.ledger.rows[self.seen :]:
            self.reporter.follow(row)
        self.seen = len(self.ledger.rows)
        self.reporter.do_due()

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.run()

    def answers(self) -> list[CommitmentAnswered]:
        return [e for e in self.ledger.events if isinstance(e, CommitmentAnswered)]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.ledger.record(REQUEST)
    return made


def test_the_report_says_what_is_held_and_what_is_not(bench: Bench) -> None:
    bench.run()
    failure = Failure("1.2", "1.2.4", NO_SUCH_INSTANCE)
    assert bench.sent == [("ct", "2.25.9", [HELD], [failure])]
    assert bench.answers() == [CommitmentAnswered("2.25.9", REQUEST.name, "CT1", 1, (failure,), "")]
    bench.after(3600)
    assert len(bench.sent) == 1


def test_a_peer_that_is_away_gets_its_report_later(bench: Bench) -> None:
    bench.refusals = 2
    bench.run()
    bench.after(40)
    assert bench.sent == []
    bench.after(80)
    assert len(bench.sent) == 1
    assert len(bench.answers()) == 1


def test_a_peer_that_stays_away_is_given_up_with_the_reason(bench: Bench) -> None:
    bench.refusals = 99
    bench.run()
    bench.after(40)
    bench.after(80)
    assert "connection refused" in bench.answers()[0].undeliverable


def test_a_report_is_owed_after_a_restart_and_not_sent_twice(bench: Bench) -> None:
    bench.refusals = 1
    bench.run()
    bench.reporter, bench.seen = bench.started(), 0
    bench.run()
    assert len(bench.sent) == 1
    bench.reporter, bench.seen = bench.started(), 0
    bench.run()
    assert len(bench.sent) == 1


def test_a_peer_whose_address_nobody_knows_is_listed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.ledger.record(CommitmentRequested("2.25.10", "CT2", "10.0.0.2", (HELD,)))
    bench.run()
    assert len(bench.answers()) == 1
    bench.after(STRANGERS)
    answer = bench.answers()[-1]
    assert "no [[destinations]] entry has ae_title CT2" in answer.undeliverable
    assert answer.undeliverable in caplog.text


def test_a_stranger_who_took_the_report_on_its_own_association_is_not_listed(bench: Bench) -> None:
    request = CommitmentRequested("2.25.10", "CT2", "10.0.0.2", (HELD,))
    bench.ledger.record(request)
    bench.run()
    bench.ledger.record(CommitmentAnswered("2.25.10", request.name, "CT2", 1))
    bench.after(STRANGERS)
    assert [answer.undeliverable for answer in bench.answers()] == ["", ""]
