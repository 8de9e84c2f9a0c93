"""What cannot be done again because its files were removed, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from lightbox.domain.account import Account
from lightbox.domain.events import FilesRemoved
from lightbox.domain.jobs import Job
from lightbox.domain.keeping import removed_paths
from lightbox.domain.standing import JobStanding


class Accounts(Protocol):
    """Folds the rows of studies (``ledger/read_model/read.py``)."""

    def account_of(self, studies: Collection[str]) -> Account:
        """Return the account of some studies."""
        ...


def removed_of(records: Accounts, jobs: Collection[JobStanding]) -> Mapping[str, FilesRemoved]:
    """Return the files of these jobs' studies that were removed on purpose, by path."""
    studies = sorted({job.job.study_instance_uid for job in jobs})
    account = records.account_of(studies)
    return {
        path: row for study in studies for path, row in removed_paths(account.of(study)).items()
    }


def why_gone(job: Job, removed: Mapping[str, FilesRemoved]) -> str:
    """Say that a job's images were removed, "" where they were not."""
    row = next((removed[each.path] for each in job.instances if each.path in removed), None)
    return f"its images were {row.words}; send them again first" if row else ""
