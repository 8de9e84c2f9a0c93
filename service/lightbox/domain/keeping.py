"""How long the files of a study are kept: not at all a question of the disk, but of the account.

The rule. A study in which anything is in progress keeps all its files, however old. One that is
settled keeps them for the retention, counted from the last thing that happened to it; one with a
failure (a job that failed or was cancelled, a dead letter, a promise that was not kept, an image
that could not be read or contradicts another) for three times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lightbox.domain.events import FilesRemoved, RemovedFile
from lightbox.domain.result import ListedReason
from lightbox.domain.standing import DeliveryState, JobState, StudyStanding
from lightbox.domain.study_account import StudyAccount

FAILURES_FACTOR = 3.0
"""Failures are kept so many times as long: a person may want to look into them."""

_FAILED = frozenset({JobState.FAILED, JobState.DEAD_LETTER})
_LISTED_FAILURES = frozenset(
    {ListedReason.UNREADABLE, ListedReason.CONFLICT, ListedReason.FAILED, ListedReason.DEAD_LETTER}
)


@dataclass(frozen=True, slots=True)
class Keeping:
    """A settled study that still has files.

    Attributes
    ----------
    settled_at : float
        When the last thing happened to it, seconds since 1970.
    is_failure : bool
        Whether it is kept longer.
    is_erased : bool
        Whether all its images were erased: what cancelled work wrote afterwards goes at once.
    """

    settled_at: float
    is_failure: bool
    is_erased: bool = False

    def may_go(self, now: float, retention: float) -> bool:
        """Say whether the files may be removed; ``retention`` in seconds."""
        if self.is_erased:
            return True
        kept_for = retention * (FAILURES_FACTOR if self.is_failure else 1.0)
        return self.settled_at + kept_for <= now


def needs_person(standing: StudyStanding) -> bool:
    """Say whether a job failed, a result was given up or a promise is not kept."""
    return any(
        job.state in _FAILED or any(delivery.is_committed is False for delivery in job.deliveries)
        for job in standing.jobs
    )


def keeping_of(account: StudyAccount, standing: StudyStanding) -> Keeping | None:
    """Return how a study is kept; None where it is in progress or has no file of ours any more."""
    if not standing.instances or is_in_progress(standing):
        return None
    first = next(_left(account, standing), None)
    if first is None:
        return None
    is_image = any(first.path == each.instance.path for each in standing.instances)
    if account.removals and account.removals[-1].why == "erased" and not is_image:
        return Keeping(0.0, is_failure=False, is_erased=True)
    listed = {each.verdict.reason for each in standing.instances}
    is_failure = needs_person(standing) or bool(listed & _LISTED_FAILURES)
    return Keeping(account.newest_row, is_failure)


def files_of(account: StudyAccount) -> tuple[RemovedFile, ...]:
    """Return all files of a study that were not removed yet: images, results, previews."""
    return tuple(_left(account, account.standing()))


def removed_paths(account: StudyAccount) -> Mapping[str, FilesRemoved]:
    """Return the paths that were removed on purpose, each with the newest row that says so."""
    return {file.path: event for event in account.removals for file in event.files}


def is_in_progress(standing: StudyStanding) -> bool:
    """Say whether anything is still to be done, or promised, before a study is settled."""
    if any(each.verdict.is_open for each in standing.instances):
        return True
    return any(
        not job.state.is_end
        or any(
            delivery.state is DeliveryState.DELIVERED
            and delivery.is_committed is False
            and not delivery.given_up
            for delivery in job.deliveries
        )
        for job in standing.jobs
    )


def _left(account: StudyAccount, standing: StudyStanding) -> Iterator[RemovedFile]:
    removed = removed_paths(account)
    for each in standing.instances:
        is_torn = each.verdict.reason == ListedReason.TORN
        if not is_torn and each.instance.path not in removed:
            yield RemovedFile(each.instance.path, each.instance.sha256)
    jobs = (account.job(name) for name in account.job_ids())
    for result in (result for job in jobs if job for result in job.results):
        if result.path not in removed:
            yield RemovedFile(result.path, result.sha256)
        if result.preview and result.preview not in removed:
            yield RemovedFile(result.preview)
