"""What a destination said last is what its newest row says, whatever order rows come in."""

from __future__ import annotations

from builders import NOON, a_job, a_result, a_stored, an_instance
from lightbox.app.operate.last_words import LastWord, LastWords
from lightbox.domain.events import DeadLettered, Delivered, DeliveryDelayed, Event, Recorded

JOB = a_job(an_instance("1"))
OF = (JOB.study_instance_uid, JOB.job_id, a_result(JOB).sop_instance_uid, "pacs")


def after(*events: Event) -> LastWords:
    words = LastWords()
    for number, event in enumerate(events, 1):
        words.take(Recorded("test", number, NOON + number, "", event))
    return words


def test_a_destination_that_was_sent_nothing_said_nothing() -> None:
    assert after(a_stored()).of("pacs") is None


def test_a_delay_is_said_with_its_reason_until_a_result_is_taken() -> None:
    late = DeliveryDelayed(*OF, attempt=1, reason="refused", retry_at=NOON + 60)
    word = after(late).of("pacs")
    assert word == LastWord(NOON + 1, "refused", NOON + 60)
    assert not word.is_good
    word = after(late, Delivered(*OF, attempt=2)).of("pacs")
    assert word == LastWord(NOON + 2)
    assert word.is_good


def test_a_dead_letter_is_a_word_too() -> None:
    word = after(DeadLettered(*OF, attempt=3, reason="no such host")).of("pacs")
    assert word == LastWord(NOON + 1, "no such host")


def test_an_older_word_does_not_replace_a_newer_one() -> None:
    words = after(a_stored(), DeliveryDelayed(*OF, attempt=1, reason="refused", retry_at=NOON + 60))
    words.take(Recorded("other", 1, NOON, "", Delivered(*OF, attempt=1)))
    assert words.of("pacs") == LastWord(NOON + 2, "refused", NOON + 60)
