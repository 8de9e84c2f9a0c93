"""C-STORE of files and folders, each as it is: no transcoding, no change of a byte.

Old files that lack the preamble or the file meta information of PS3.10 are sent too: their data
set is read, and written again in the transfer syntax in which it was found.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lightbox.deliver.association import MOST_CONTEXTS, Association, Peer
from lightbox.deliver.status import NETWORK, Action, Network, of_status
from lightbox.domain.errors import DeliveryError, UnreadableError, UsageError

Context = tuple[str, str]
"""SOP class and transfer syntax."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file.

    Attributes
    ----------
    status : int or None
        DIMSE status; None where none came.
    stored : bool
        Whether the peer has it: success or a warning.
    detail : str
        Why not, or what the peer noted; "" in the normal case.
    """

    file: Path
    sop_instance_uid: str
    status: int | None
    stored: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all files, in the order of sending."""

    files: tuple[Sent, ...] = ()

    @property
    def stored(self) -> int:
        """How many the peer has."""
        return sum(one.stored for one in self.files)

    @property
    def ok(self) -> bool:
        """Whether it has all of them."""
        return self.stored == len(self.files)


_IDENTITY = ("SOPClassUID", "SOPInstanceUID")


@dataclass(frozen=True, slots=True)
class _Instance:
    file: Path
    sop_instance_uid: str
    context: Context
    bare: bool = False

    def to_send(self) -> Path | Dataset:
        """Return the file, or the data set of one that is not PS3.10."""
        return _bare(self.file) if self.bare else self.file


@dataclass(slots=True)
class _Group:
    contexts: set[Context] = field(default_factory=set)
    instances: list[_Instance] = field(default_factory=list)


def _nothing(_: Sent) -> None:
    """Show nothing."""


_BESIDE = (".png", ".md", ".json")
"""What lies beside the images of a model package: masks, notes, answers."""


def files_in(paths: Iterable[Path]) -> list[Path]:
    """Return the files of files and folders, folders sorted by name.

    Of a folder, DICOMDIR is no instance, and what lies beside the images of a model package is
    passed over; any other file is there for ``send`` to say what is wrong with it.

    Raises
    ------
    UsageError
        If a path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (f for f in path.rglob("*") if f.is_file())
            found.extend(sorted(f for f in inside if _may_be_an_instance(f)))
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(str(path), "does not exist", "name a DICOM file or a folder of them")
    return found


def _may_be_an_instance(file: Path) -> bool:
    return file.name != "DICOMDIR" and file.suffix.lower() not in _BESIDE


def send(
    paths: Sequence[Path],
    peer: Peer,
    progress: Callable[[Sent], None] = _nothing,
) -> Report:
    """Send files and folders to one peer.

    The presentation contexts proposed are exactly the pairs of SOP class and transfer syntax of
    the files; more than 128 take several associations. A file that is not DICOM, or that the peer
    refuses, is reported and the others go on.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    peer : Peer
        Whom to send to, and as whom.
    progress : callable
        Called with each file's outcome as it comes.

    Raises
    ------
    UsageError
        If a path does not exist, or nothing is there to send.
    DeliveryError
        If the peer cannot be reached at all.
    """
    files = files_in(paths)
    if not files:
        raise UsageError("nothing to send", "no file in " + ", ".join(map(str, paths)))
    done: list[Sent] = []

    def tell(sent: Sent) -> None:
        done.append(sent)
        progress(sent)

    reached = False
    for group in _groups(_readable(files, tell)):
        left = iter(group.instances)
        try:
            for sent in _send_group(group, peer, left):
                tell(sent)
                reached = True
        except DeliveryError as error:
            if not reached:
                raise
            for instance in left:
                tell(_sent(instance, None, stored=False, detail=str(error)))
    return Report(tuple(done))


def _readable(files: Iterable[Path], tell: Callable[[Sent], None]) -> Iterator[_Instance]:
    for file in files:
        try:
            yield _instance(file)
        except UnreadableError as error:
            tell(Sent(file, "", None, stored=False, detail=error.reason))


def _instance(file: Path) -> _Instance:
    try:
        if _is_bare(file):
            found = _bare(file)
            context = (str(found.SOPClassUID), str(found.file_meta.TransferSyntaxUID))
            return _Instance(file, str(found.SOPInstanceUID), context, bare=True)
        found = dcmread(file, stop_before_pixels=True, specific_tags=list(_IDENTITY))
        meta = found.file_meta
        context = (str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
        uid = str(meta.MediaStorageSOPInstanceUID)
        if not (uid and all(context)):
            raise _incomplete(file)
        if (found.SOPClassUID, found.SOPInstanceUID) != (context[0], uid):
            reason = (
                "contradicts itself: file meta and data set name different instances or classes"
            )
            raise UnreadableError(str(file), reason, "mend its header")
        return _Instance(file, uid, context)
    except InvalidDicomError as error:
        raise UnreadableError(str(file), "is not a DICOM file") from error
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise UnreadableError(str(file), reason) from error
    except (AttributeError, KeyError, ValueError, struct.error, NotImplementedError) as error:
        raise _incomplete(file) from error


def _incomplete(file: Path) -> UnreadableError:
    reason = "is no complete DICOM file: SOP class, SOP instance or transfer syntax is missing"
    return UnreadableError(str(file), reason)


def _is_bare(file: Path) -> bool:
    """Say whether the file begins at once with an element of group 2 or 8, little endian."""
    with file.open("rb") as opened:
        start = opened.read(132)
    return start[128:] != b"DICM" and start[:2] in (b"\x02\x00", b"\x08\x00")


def _bare(file: Path) -> Dataset:
    found = dcmread(file, force=True)
    if "TransferSyntaxUID" not in found.file_meta:
        implicit, _ = found.original_encoding
        guessed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        found.file_meta.TransferSyntaxUID = guessed
    return found


def _groups(instances: Iterable[_Instance]) -> list[_Group]:
    """Divide instances, in order, so that each group needs at most 128 contexts."""
    groups = [_Group()]
    for instance in instances:
        new = instance.context not in groups[-1].contexts
        if new and len(groups[-1].contexts) == MOST_CONTEXTS:
            groups.append(_Group())
        groups[-1].contexts.add(instance.context)
        groups[-1].instances.append(instance)
    return [group for group in groups if group.instances]


def _send_group(group: _Group, peer: Peer, left: Iterator[_Instance]) -> Iterator[Sent]:
    """Send one group over one association; a lost one is opened again for the next file."""
    association = Association(peer, sorted(group.contexts))
    try:
        for instance in left:
            try:
                yield _send_one(association, instance)
            except (DeliveryError, OSError, ValueError, AttributeError) as error:
                # Also a file that vanished or cannot be encoded: pynetdicom's own errors.
                yield _sent(instance, None, stored=False, detail=str(error))
                association.cut()
                association.close()
                association = Association(peer, sorted(group.contexts))
    except BaseException:
        association.cut()  # an interruption by hand must not wait for the peer's next answer
        raise
    finally:
        association.close()


def _send_one(association: Association, instance: _Instance) -> Sent:
    if instance.context not in association.accepted:
        refused = NETWORK[Network.NO_CONTEXT].meaning
        return _sent(instance, None, stored=False, detail=refused)
    response = association.store(instance.to_send())
    answer = of_status(response.status)
    detail = f"{answer.meaning} {response.comment}".strip()
    if answer.action is Action.SUCCESS:
        return _sent(instance, response.status, stored=True, detail=response.comment)
    stored = answer.action is Action.NOTE
    return _sent(instance, response.status, stored=stored, detail=detail)


def _sent(instance: _Instance, status: int | None, *, stored: bool, detail: str) -> Sent:
    return Sent(instance.file, instance.sop_instance_uid, status, stored, detail)
