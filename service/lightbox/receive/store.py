"""The door of receive: an instance is acknowledged when file, folder and ledger row are on disk.

A blank of the pool already has its name on the disk, so an instance waits for two syncs only: its
own bytes and its ledger row, which go on at the same time (or one after the other, ``in_turn``).
Both have *ended* before its sender is answered. A crash between the two leaves a file without a
row, which the sweep removes, or a row without its file, which the sweep takes back.
"""

from __future__ import annotations

from pathlib import Path

from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.domain.identity import is_uid
from lightbox.ports import Clock, Ledger
from lightbox.receive.intake import (
    Incoming,
    Intake,
    Shelf,
    SyncOrder,
    not_written,
    out_of_resources,
)
from lightbox.receive.sweep import sweep
from lightbox.storage.files import Files
from lightbox.storage.pool import Pool
from lightbox.storage.reserve import Reserve


class Store:
    """Takes instances and makes them durable.

    Parameters
    ----------
    root : Path
        The data directory.
    files : Files
        The disk.
    ledger : Ledger
        Its ``record`` is called from many threads.
    clock : Clock
        Gives the time of arrival.
    reserve : Reserve
        Says when the disk is too full to take more.
    order : str
        Whether file and row are synced ``together`` or ``in_turn``.

    Attributes
    ----------
    swept : Swept
        What a crash had left behind.
    """

    def __init__(
        self,
        root: Path,
        files: Files,
        ledger: Ledger,
        clock: Clock,
        reserve: Reserve,
        *,
        order: SyncOrder = "together",
    ) -> None:
        files.make_folder(root)
        self.swept = sweep(root, files, ledger)
        self._shelf = Shelf(root, files, ledger, clock, Pool(root, files, clock), reserve, order)

    def accept(self, incoming: Incoming) -> Intake:
        """Begin to take an instance.

        Raises
        ------
        RefusedError
            If its UIDs are none, if the disk is too full, or has failed, or no memory is left.
        """
        for uid in (incoming.sop_class_uid, incoming.sop_instance_uid):
            if not is_uid(uid):
                raise RefusedError(RefusalReason.CANNOT_UNDERSTAND, "command", f"no UID: {uid!r}")
        if self._shelf.failed.is_set():
            raise out_of_resources("a write to the disk failed", "see the log, then restart")
        try:
            self._shelf.check_reserve()
            blank = self._shelf.pool.take()
        except OSError as error:
            raise not_written(error) from error
        try:
            return Intake(self._shelf, incoming, blank)
        except OSError as error:
            self._shelf.discard(blank)
            raise out_of_resources(str(error), "lower dicom.max_associations") from error

    def close(self) -> None:
        """Remove the files that were made in advance."""
        self._shelf.pool.close()
        self._shelf.blocks.close()
