"""Which instance is it? Reads four UIDs at the head of a data set while the rest still arrives."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.domain.identity import is_uid
from lightbox.receive.elements import EXPLICIT_LITTLE, BrokenError, CutOffError, Elements, name
from lightbox.receive.inflate import DEFLATED, Inflating

_SOP_CLASS = 0x00080016
_SOP_INSTANCE = 0x00080018
_STUDY = 0x0020000D
_SERIES = 0x0020000E
_TAGS = (_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES)
_WANTED = frozenset(_TAGS)

_HEAD_AT_MOST = 4 * 2**20
_INFLATED_AT_MOST = 2**31
_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Uids:
    """What a data set says that it is."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


class Head:
    """Collects the head of a data set until the four UIDs are known.

    Parameters
    ----------
    transfer_syntax_uid : str
        Of the data set.
    inflated : int
        Bytes that a deflated one may become.

    Attributes
    ----------
    uids : Uids or None
        None until they are known.
    """

    def __init__(self, transfer_syntax_uid: str, inflated: int = _INFLATED_AT_MOST) -> None:
        is_deflated = transfer_syntax_uid == DEFLATED
        self._inflating = Inflating(inflated) if is_deflated else None
        self._syntax = EXPLICIT_LITTLE if is_deflated else transfer_syntax_uid
        self._data = bytearray()
        self._try_at = 1
        self.uids: Uids | None = None

    @property
    def held(self) -> int:
        """Bytes that were collected so far."""
        return len(self._data)

    @property
    def is_done(self) -> bool:
        """Whether the rest of the data set means nothing here; a deflated one is looked through."""
        return self.uids is not None and self._inflating is None

    def add(self, piece: memoryview) -> bool:
        """Take the next bytes; return whether the UIDs have become known by them.

        Raises
        ------
        RefusedError
            If the head cannot be understood or does not end, or a deflated data set is none, or
            becomes more than it may.
        """
        if self._inflating is None:
            return self._take(piece)
        found = [self.uids is None and self._take(each) for each in self._inflating.add(piece)]
        return any(found)

    def _take(self, piece: bytes | memoryview) -> bool:
        self._data += piece
        if len(self._data) < self._try_at:
            return False
        try:
            self.uids = self._read(ended=False)
        except CutOffError:
            if len(self._data) > _HEAD_AT_MOST:
                raise _broken(f"no Series Instance UID in {_HEAD_AT_MOST} bytes") from None
            # doubled, so that tiny fragments cost no square of time
            self._try_at = min(2 * len(self._data), _HEAD_AT_MOST + 1)
            return False
        return True

    def end(self) -> Uids:
        """Return the UIDs; the data set has ended.

        Raises
        ------
        RefusedError
            If it has not all four, or a deflated one is cut off.
        """
        if self._inflating is not None:
            self._inflating.end()
        if self.uids is None:
            try:
                self.uids = self._read(ended=True)
            except CutOffError:
                raise _broken("it ends inside of an element") from None
        return self.uids

    def _read(self, *, ended: bool) -> Uids:
        try:
            values, passed = Elements(self._data, self._syntax).values_of(_WANTED, _SERIES)
        except BrokenError as error:
            raise _broken(str(error)) from error
        if not passed and not ended:
            raise CutOffError
        found = {tag: value.rstrip(b"\0 ").decode("latin-1") for tag, value in values.items()}
        for tag in _TAGS:
            if not is_uid(found.get(tag, "")):
                shown = found.get(tag, "")[:_SHOWN]
                raise _broken(f"{name(tag)} is missing or no UID: {shown!r}")
        self._data.clear()
        return Uids(*(found[tag] for tag in _TAGS))


def _broken(text: str) -> RefusedError:
    return RefusedError(RefusalReason.CANNOT_UNDERSTAND, "data set", text)
