"""What lies on the operator's desk is what is open, and leaves it when it is settled."""

from __future__ import annotations

from builders import NOON, a_job, a_result, a_stored, a_written, an_instance
from lightbox.app.desk import Desk, LastWord
from lightbox.domain.account import Account
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    Event,
    JobFailed,
    JobPlaced,
    JobRetried,
    Recorded,
)
from lightbox.domain.jobs import Job
from lightbox.domain.result import ListedReason

JOB = a_job(an_instance("1"))
RESULT = a_result(JOB)
OF = (JOB.study_instance_uid, JOB.job_id, RESULT.sop_instance_uid, "pacs")


class Follower:
    def __init__(self) -> None:
        account = Account(("pacs",))
        self.desk = Desk(account)
        self._account = account
        self._rows = 0

    def take(self, *events: Event) -> Desk:
        for event in events:
            self._rows += 1
            recorded = Recorded("test", self._rows, NOON + self._rows, "", event)
            self._account.apply(recorded)
            self.desk.take(recorded)
        return self.desk


def open_jobs(desk: Desk) -> list[Job]:
    return [standing.job for standing in desk.jobs()]


def test_a_job_lies_on_the_desk_until_its_results_have_arrived() -> None:
    follower = Follower()
    desk = follower.take(a_stored(), JobPlaced(JOB), a_written(JOB))
    assert open_jobs(desk) == [JOB]
    assert open_jobs(follower.take(Delivered(*OF, attempt=1))) == []
    assert desk.last_word("pacs") == LastWord(NOON + 4)


def test_a_failed_job_leaves_and_comes_back_when_it_is_tried_again() -> None:
    follower = Follower()
    failed = JobFailed(JOB.study_instance_uid, JOB.job_id, ListedReason.UNREADABLE, "broken")
    assert open_jobs(follower.take(JobPlaced(JOB), failed)) == []
    desk = follower.take(JobRetried(JOB.study_instance_uid, JOB.job_id, 2, "anna"))
    assert [job.attempt for job in open_jobs(desk)] == [2]


def test_a_superseded_job_leaves() -> None:
    newer = a_job(an_instance("1"), an_instance("2"), supersedes=JOB.job_id, revision=2)
    assert open_jobs(Follower().take(JobPlaced(JOB), JobPlaced(newer))) == [newer]


def test_a_dead_letter_lies_there_with_its_reason_until_a_person_sends_it_again() -> None:
    follower = Follower()
    dead = DeadLettered(*OF, attempt=3, reason="pacs: refused (0xA700)")
    desk = follower.take(JobPlaced(JOB), a_written(JOB), dead)
    (letter,) = desk.dead_letters()
    assert (letter.job, letter.attempts, letter.at) == (JOB, 3, NOON + 3)
    assert letter.reason == "pacs: refused (0xA700)"
    assert not letter.is_stored
    word = desk.last_word("pacs")
    assert word is not None
    assert not word.is_good
    assert follower.take(DeliveryRevived(*OF, attempt=3, by="anna")).dead_letters() == ()
    assert open_jobs(desk) == [JOB]


def test_an_unproven_result_is_said_to_be_stored() -> None:
    dead = DeadLettered(*OF, attempt=4, reason="not committed", again=3)
    desk = Follower().take(JobPlaced(JOB), a_written(JOB), Delivered(*OF, attempt=1), dead)
    assert [letter.is_stored for letter in desk.dead_letters()] == [True]


def test_an_older_word_of_a_destination_does_not_replace_a_newer_one() -> None:
    follower = Follower()
    late = DeliveryDelayed(*OF, attempt=1, reason="refused", retry_at=NOON + 60)
    desk = follower.take(JobPlaced(JOB), a_written(JOB), late)
    desk.take(Recorded("other", 1, NOON, "", Delivered(*OF, attempt=1)))
    word = desk.last_word("pacs")
    assert word == LastWord(NOON + 3, "refused", NOON + 60)
    assert desk.last_word("nobody") is None


def test_studies_with_news_are_named_once() -> None:
    desk = Follower().take(a_stored(), JobPlaced(JOB), a_written(JOB))
    assert desk.changed == {JOB.study_instance_uid}
