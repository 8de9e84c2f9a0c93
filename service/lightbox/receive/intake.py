"""One instance on its way to the disk: written as it comes, checked, hashed, made durable."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.domain.events import FilesRemoved, InstanceStored, InstanceTorn, Recorded
from lightbox.domain.study import Arrival, Instance
from lightbox.ports import Clock, Ledger
from lightbox.receive.identify import Head
from lightbox.receive.stored_file import file_meta, holds
from lightbox.storage.files import Files
from lightbox.storage.pool import Blank, Pool
from lightbox.storage.reserve import Reserve
from lightbox.storage.stream import Blocks, Stream

_FULL = (errno.ENOSPC, errno.EDQUOT)
_ASK_EVERY = 8 * 2**20
"""Bytes of an instance after which the reserve is asked for again."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What is known of an instance before its first byte.

    Attributes
    ----------
    peer : str
        Address of the sender.
    association : str
        Identifier, ours.
    priority : int
        DIMSE Priority (0000,0700).
    inflated : int
        Bytes that it may become, where it is deflated.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    peer: str
    association: str
    priority: int = 0
    inflated: int = 0


SyncOrder: TypeAlias = Literal["together", "in_turn"]
"""Whether file and row are synced at the same time, or the row second."""


class Hands:
    """Lets one association at a time finish the same bytes under the same UID."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._free = threading.Condition()

    def lay_on(self, key: str) -> None:
        """Hold one instance; wait while somebody else does."""
        with self._free:
            while key in self._held:
                self._free.wait()
            self._held.add(key)

    def take_off(self, key: str) -> None:
        """Let go of it."""
        with self._free:
            self._held.discard(key)
            self._free.notify_all()


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where instances go.

    Attributes
    ----------
    order : str
        Whether file and row are synced ``together`` or ``in_turn``.
    blocks : Blocks
        Where bytes are gathered.
    hands : Hands
        Who is finishing what.
    failed : threading.Event
        Set when the disk lost something: nothing more is taken until a restart, because a second
        sync of what was lost would report success.
    """

    root: Path
    files: Files
    ledger: Ledger
    clock: Clock
    pool: Pool
    reserve: Reserve
    order: SyncOrder = "together"
    blocks: Blocks = field(default_factory=Blocks)
    hands: Hands = field(default_factory=Hands)
    failed: threading.Event = field(default_factory=threading.Event)

    def check_reserve(self) -> None:
        """Refuse what would eat into the reserve.

        Raises
        ------
        RefusedError
            If the disk is too full.
        """
        if not self.reserve.ok():
            raise out_of_resources("the disk is full up to the reserve", "free some space")

    def syncs(self, mine: InstanceStored, intake: Intake) -> InstanceStored:
        """Put file and row on the disk, in the order that the site wants; return the row."""
        return intake.together(mine) if self.order == "together" else intake.in_turn(mine)

    def discard(self, blank: Blank) -> None:
        """Remove a file that holds no acknowledged instance."""
        with suppress(OSError):  # the next start sweeps it
            self.pool.discard(blank)


class Intake:
    """One instance on its way to the disk. Use from one thread; end by ``close``.

    Parameters
    ----------
    shelf : Shelf
        Where it goes.
    incoming : Incoming
        What its command says.
    blank : Blank
        Its file.
    """

    def __init__(self, shelf: Shelf, incoming: Incoming, blank: Blank) -> None:
        self._shelf = shelf
        self._incoming = incoming
        self._blank = blank
        self._head = Head(incoming.transfer_syntax_uid, incoming.inflated)
        meta = file_meta(
            incoming.sop_class_uid,
            incoming.sop_instance_uid,
            incoming.transfer_syntax_uid,
            incoming.calling_ae,
        )
        self._stream = Stream(shelf.files, shelf.blocks, blank.descriptor, meta)
        self._asked_at = 0
        self._open = True
        self._is_kept = False

    def add(self, piece: memoryview) -> None:
        """Take the next bytes of the data set.

        Raises
        ------
        RefusedError
            If the data set is not what the command says, or the disk is full or fails. Then
            :meth:`close`.
        """
        try:
            self._stream.add(piece)
        except OSError as error:
            raise not_written(error) from error
        if self._stream.size - self._asked_at >= _ASK_EVERY:
            self._asked_at = self._stream.size
            self._shelf.check_reserve()
        if not self._head.is_done and self._head.add(piece):
            self._check_agreement()

    @property
    def held(self) -> int:
        """Bytes that are kept in memory."""
        return self._head.held

    def finish(self) -> InstanceStored:
        """Make it durable and record it; it may be acknowledged when this returns.

        The same bytes under the same UID again give the event of the first time.

        Raises
        ------
        RefusedError
            If it is not durable. Then :meth:`close`.
        """
        received_at = self._shelf.clock.now()
        if self._head.uids is None:
            self._head.end()
            self._check_agreement()
        try:
            self._stream.end()
        except OSError as error:
            raise not_written(error) from error
        mine = InstanceStored(self._instance(), self._arrival(received_at))
        key = mine.key
        self._shelf.hands.lay_on(key)
        try:
            recorded = self._shelf.syncs(mine, self)
            while recorded.instance.path != mine.instance.path and self._is_gone(recorded):
                mine = replace(mine, again=recorded.again + 1)
                recorded = self.record(mine)
            if recorded.instance.path == mine.instance.path:
                self._is_kept = True
            else:
                self._settle_duplicate(recorded.instance)
        finally:
            self._shelf.hands.take_off(key)
        return recorded

    def close(self) -> None:
        """Let go of the file: sealed where its row is durable, removed where not.

        Best after the answer: no sender waits for a mark.
        """
        if not self._open:
            return
        self._open = False
        if self._is_kept:
            with suppress(OSError):  # durable already: the mark can be set by the next sweep
                self._shelf.files.seal(self._blank.descriptor)
            self._shelf.files.close(self._blank.descriptor)
        else:
            self._stream.abandon()
            self._shelf.discard(self._blank)

    def _check_agreement(self) -> None:
        uids = self._head.uids
        assert uids is not None
        said = (self._incoming.sop_class_uid, self._incoming.sop_instance_uid)
        if (uids.sop_class_uid, uids.sop_instance_uid) != said:
            raise RefusedError(
                RefusalReason.DATA_SET_DISAGREES,
                "data set",
                "SOP class or instance UID differ from the command's",
            )

    def in_turn(self, mine: InstanceStored) -> InstanceStored:
        """Sync the file, then record the row: every row has its file, whatever happens."""
        self._sync()
        return self.record(mine)

    def together(self, mine: InstanceStored) -> InstanceStored:
        """Record the row while the file is synced; return when both have ended.

        A crash may leave a row whose file is torn; the sweep takes it back.
        """
        try:
            wait = self._shelf.ledger.begin(mine)
        except Exception as error:
            raise out_of_resources(f"the ledger: {error}", "see the log") from error
        try:
            self._sync()
        except RefusedError:
            self._take_back(mine, wait)
            raise
        return self._recorded(mine, wait)

    def record(self, mine: InstanceStored) -> InstanceStored:
        """Write the row of a file that is on the disk; return that of the first time."""
        return self._recorded(mine, partial(_record, self._shelf.ledger, mine))

    def _take_back(self, mine: InstanceStored, wait: Callable[[], Recorded]) -> None:
        """Say in the ledger that a row which may be there has no file."""
        try:
            recorded = wait().event
            assert isinstance(recorded, InstanceStored)
            if recorded.instance.path == mine.instance.path:
                self._shelf.ledger.record(InstanceTorn.of(recorded))
        except Exception:  # noqa: BLE001  # the sweep at the next start decides
            self._leave()

    def _is_gone(self, recorded: InstanceStored) -> bool:
        """Say whether the ledger says that this file is gone: torn, or removed on purpose."""
        ledger = self._shelf.ledger
        try:
            return ledger.find(InstanceTorn.of(recorded).key) is not None or _is_removed(
                ledger, recorded
            )
        except Exception as error:
            raise out_of_resources(f"the ledger: {error}", "see the log") from error

    def _leave(self) -> None:
        """Let go of the file and leave it for the next sweep."""
        self._open = False
        self._shelf.files.close(self._blank.descriptor)

    def _sync(self) -> None:
        try:
            self._shelf.files.sync(self._blank.descriptor)
        except OSError as error:
            if error.errno not in _FULL:
                self._shelf.failed.set()
            raise not_written(error) from error

    def _recorded(self, mine: InstanceStored, wait: Callable[[], Recorded]) -> InstanceStored:
        try:
            recorded = wait().event
        except Exception as error:
            if not _surely_unknown(self._shelf.ledger, mine.key):
                self._leave()
            raise out_of_resources(f"the ledger: {error}", "see the log") from error
        assert isinstance(recorded, InstanceStored)
        return recorded

    def _settle_duplicate(self, first: Instance) -> None:
        """Keep one file: the first, or ours in its place where that one was lost since."""
        files, old = self._shelf.files, self._shelf.root / first.path
        try:
            if holds(old, first):
                files.sync_path(old)
                return
            files.make_folder(old.parent)
            files.rename(self._shelf.root / self._blank.path, old)
            files.sync_folder(old.parent)
        except OSError as error:
            raise out_of_resources(str(error), "look at the disk") from error
        self._is_kept = True

    def _instance(self) -> Instance:
        uids = self._head.end()
        return Instance(
            sop_instance_uid=uids.sop_instance_uid,
            sop_class_uid=uids.sop_class_uid,
            study_instance_uid=uids.study_instance_uid,
            series_instance_uid=uids.series_instance_uid,
            transfer_syntax_uid=self._incoming.transfer_syntax_uid,
            path=self._blank.path,
            sha256=self._stream.sha256,
            size_bytes=self._stream.size,
        )

    def _arrival(self, received_at: float) -> Arrival:
        return Arrival(
            received_at=received_at,
            calling_ae=self._incoming.calling_ae,
            called_ae=self._incoming.called_ae,
            peer=self._incoming.peer,
            association=self._incoming.association,
            priority=self._incoming.priority,
        )


def _record(ledger: Ledger, mine: InstanceStored) -> Recorded:
    return ledger.record(mine)[0]


def _is_removed(ledger: Ledger, recorded: InstanceStored) -> bool:
    for number in count():
        row = ledger.find(FilesRemoved.key_of(recorded.study, number))
        if row is None or not isinstance(row.event, FilesRemoved):
            return False
        if any(file.path == recorded.instance.path for file in row.event.files):
            return True
    raise AssertionError  # count() has no end


def _surely_unknown(ledger: Ledger, key: str) -> bool:
    try:
        return ledger.find(key) is None
    except Exception:  # noqa: BLE001  # whatever it is, we do not know
        return False


def not_written(error: OSError) -> RefusedError:
    """Return the refusal after the disk has failed, or is full."""
    mend = "free some space" if error.errno in _FULL else "look at the disk"
    return out_of_resources(str(error), mend)


def out_of_resources(reason: str, mend: str) -> RefusedError:
    """Return the refusal after which a sender tries again later."""
    return RefusedError(RefusalReason.OUT_OF_RESOURCES, "storage", reason, mend)
