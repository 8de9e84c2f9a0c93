"""Removes the files of studies that are accounted for: by age, or because a person wants it.

The row comes first (``FilesRemoved``: what, when, why, by whom), the unlinking second. A note
beside the ledger says which removal is under way, so that the next start finishes one that a crash
cut short. Rows stay: they hold UIDs, digests and what became of everything, and no patient data.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Collection
from pathlib import Path
from typing import Literal, Protocol

from lightbox.app.operate.switch import put
from lightbox.domain.account import Account
from lightbox.domain.errors import LedgerError
from lightbox.domain.events import FilesRemoved, RemovedFile
from lightbox.domain.keeping import FAILURES_FACTOR, files_of, keeping_of
from lightbox.domain.study_account import StudyAccount
from lightbox.ports import Clock, Ledger
from lightbox.storage.files import Files

_NOTE = "removing"
_LOOK_EVERY = 60.0
_AT_A_TIME = 50
"""Files that are unlinked at one look: control has other things to do."""
_STUDIES = 20

_log = logging.getLogger(__name__)


class Records(Protocol):
    """All that was ever accepted (``ledger/read_model/read.py``)."""

    def settled(self, before: float, *, is_failure: bool, size: int) -> tuple[str, ...]:
        """Return studies that were settled before this time and still have files."""
        ...

    def account_of(self, studies: Collection[str]) -> Account:
        """Return the account of some studies."""
        ...


class Retention:
    """Removes, a few files at a look, what is older than it has to be.

    Parameters
    ----------
    root : Path
        The data directory.
    values : Path
        Folder of the audits' values.
    records : Records
        Where anything stands that ever was.
    alone : lock
        Held while it is decided and recorded, so that nobody asks for the same study meanwhile.
    keep : float
        ``storage.retention``, seconds.
    at_least : float
        Seconds in which none goes, whatever the retention: while more instances of a study are
        expected, and while a destination may still be asked for its promise.
    """

    def __init__(
        self,
        *,
        root: Path,
        values: Path,
        ledger: Ledger,
        records: Records,
        files: Files,
        alone: threading.Lock,
        clock: Clock,
        keep: float,
        at_least: float,
    ) -> None:
        self._root = root.resolve()
        self._values = values.resolve()
        self._ledger = ledger
        self._records = records
        self._files = files
        self._alone = alone
        self._clock = clock
        self._keep = keep
        self._at_least = at_least
        self._due = 0.0
        self._studies: deque[str] = deque()
        self._paths: deque[str] = deque()
        self._touched: set[Path] = set()
        self._is_failing = False

    def configure(self, keep: float, at_least: float) -> None:
        """Keep for another time from now on."""
        self._keep, self._at_least, self._due = keep, at_least, 0.0

    def resume(self) -> None:
        """Finish what a crash cut short: its row is in the ledger, some of its files are there.

        Raises
        ------
        LedgerError
            If the ledger cannot be read.
        """
        if self._paths:
            return
        try:
            key = (self._root / _NOTE).read_text()
        except FileNotFoundError:
            return
        row = self._ledger.find(key)
        if row is not None and isinstance(row.event, FilesRemoved):
            self._paths.extend(file.path for file in row.event.files)
            _log.warning("a removal that a crash cut short is finished: %d files", len(self._paths))
        self._unlink_all()

    def look(self) -> None:
        """Do a little of what is to be done; control calls this several times a second."""
        if self._is_failing and self._clock.monotonic() < self._due:
            return
        with self._alone:
            try:
                if self._is_failing:  # a row may have been written all the same
                    self.resume()
                if self._paths:
                    self._unlink(_AT_A_TIME)
                elif self._studies:
                    self._consider(self._studies.popleft())
                elif self._clock.monotonic() >= self._due:
                    self._find()
                self._is_failing = False
            except (OSError, LedgerError) as error:
                if not self._is_failing:
                    _log.warning("retention: %s; tried again", error)
                self._is_failing = True
                self._due = self._clock.monotonic() + self._pause

    def erase(self, account: StudyAccount, by: str, reason: str) -> FilesRemoved | None:
        """Remove all files of a study now; return the row that says so, None where there are none.

        The caller holds the lock and has made sure that nothing is in progress.

        Raises
        ------
        OSError
            If a file cannot be removed; the row is there, and it is tried again.
        LedgerError
            If it cannot be recorded; then all is as it was.
        """
        self._unlink_all()
        row = self._record(account, "erased", by, reason)
        self._unlink_all()
        return row

    # ------------------------------------------------------------------------------------ inside
    @property
    def _pause(self) -> float:
        """Seconds until it is looked again, where nothing was found."""
        return min(_LOOK_EVERY, max(self._keep, self._at_least))

    def _find(self) -> None:
        now, keep = self._clock.now(), max(self._keep, self._at_least)
        for is_failure, kept_for in ((False, keep), (True, keep * FAILURES_FACTOR)):
            found = self._records.settled(now - kept_for, is_failure=is_failure, size=_STUDIES)
            self._studies.extend(found)
        if not self._studies:
            self._due = self._clock.monotonic() + self._pause

    def _consider(self, study: str) -> None:
        account = self._records.account_of((study,)).of(study)
        keeping = keeping_of(account, account.standing())
        if keeping and keeping.may_go(self._clock.now(), max(self._keep, self._at_least)):
            self._record(account, "erased" if keeping.is_erased else "retention")
        elif not self._studies:  # it has changed since it was found: later
            self._due = self._clock.monotonic() + self._pause

    def _record(
        self,
        account: StudyAccount,
        why: Literal["retention", "erased"],
        by: str = "",
        reason: str = "",
    ) -> FilesRemoved | None:
        """Say in the ledger what goes now, and remember to do it."""
        files = (*files_of(account), *self._values_of(account))
        if not files:
            return None
        number = account.removals[-1].number + 1 if account.removals else 0
        now = self._clock.now()
        if why == "erased" and not by:
            by = account.removals[-1].by
        row = FilesRemoved(account.study, number, why, now, files, by, reason)
        put(self._files, self._root / _NOTE, row.key.encode())
        self._ledger.record(row)
        self._paths.extend(file.path for file in files)
        return row

    def _values_of(self, account: StudyAccount) -> list[RemovedFile]:
        names = (f"{job}{end}" for job in account.job_ids() for end in (".values", ".taken"))
        there = (path for name in names if (path := self._values / name).is_file())
        return [RemovedFile(path.relative_to(self._root).as_posix()) for path in there]

    def _unlink_all(self) -> None:
        while self._paths:
            self._unlink(len(self._paths))
        self._files.unlink(self._root / _NOTE)

    def _unlink(self, most: int) -> None:
        for _ in range(min(most, len(self._paths))):
            path = (self._root / self._paths[0]).resolve()
            if path.is_relative_to(self._root) and path.is_file():
                self._files.unlink(path)
                self._touched.add(path.parent)
            self._paths.popleft()
        if not self._paths:
            for folder in self._touched:
                self._files.sync_folder(folder)
            self._touched.clear()
            self._files.unlink(self._root / _NOTE)
