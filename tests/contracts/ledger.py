"""What every ledger promises. An implementation's test inherits this and gives ``ledger``."""

from __future__ import annotations

import threading

import pytest

from builders import a_stored, an_arrival, an_instance
from lightbox import ports


class LedgerContract:
    @pytest.fixture
    def ledger(self) -> ports.Ledger:
        raise NotImplementedError

    def test_rows_are_numbered_from_one_in_the_order_of_recording(
        self, ledger: ports.Ledger
    ) -> None:
        first, second = ledger.record(a_stored(an_instance("1")), a_stored(an_instance("2")))
        (third,) = ledger.record(a_stored(an_instance("3")))
        assert [first.sequence, second.sequence, third.sequence] == [1, 2, 3]
        assert ledger.since({}) == (first, second, third)

    def test_recording_a_known_key_returns_the_old_row_and_writes_nothing(
        self, ledger: ports.Ledger
    ) -> None:
        (old,) = ledger.record(a_stored(an_instance("1"), an_arrival(association="a1")))
        (again,) = ledger.record(a_stored(an_instance("1"), an_arrival(association="a2")))
        assert again == old
        assert len(ledger.since({})) == 1

    def test_a_key_twice_in_one_call_is_written_once(self, ledger: ports.Ledger) -> None:
        one, other = ledger.record(a_stored(), a_stored())
        assert one == other
        assert len(ledger.since({})) == 1

    def test_recording_nothing_is_nothing(self, ledger: ports.Ledger) -> None:
        assert ledger.record() == ()

    def test_since_gives_only_what_is_new(self, ledger: ports.Ledger) -> None:
        ledger.record(a_stored(an_instance("1")))
        (second,) = ledger.record(a_stored(an_instance("2")))
        assert ledger.since({second.chain: 1}) == (second,)
        assert ledger.since({second.chain: 2}) == ()

    def test_a_timeline_holds_the_events_of_its_study_only(self, ledger: ports.Ledger) -> None:
        mine, _ = ledger.record(
            a_stored(an_instance("1", study="1.2.3")), a_stored(an_instance("2", study="1.2.4"))
        )
        assert ledger.timeline("1.2.3") == (mine,)
        assert ledger.timeline("9.9.9") == ()

    def test_a_row_is_found_by_its_key(self, ledger: ports.Ledger) -> None:
        event = a_stored()
        (row,) = ledger.record(event)
        assert ledger.find(event.key) == row
        assert ledger.find("instance_stored:none") is None

    def test_many_threads_may_record_at_once_and_each_key_is_written_once(
        self, ledger: ports.Ledger
    ) -> None:
        seen: list[tuple[str, int]] = []

        def send() -> None:
            for n in range(20):
                (row,) = ledger.record(a_stored(an_instance(str(n))))
                seen.append((row.event.key, row.sequence))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        rows = ledger.since({})
        assert len(seen) == 80
        assert [row.sequence for row in rows] == list(range(1, 21))
        assert set(seen) == {(row.event.key, row.sequence) for row in rows}
