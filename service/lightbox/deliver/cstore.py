"""A destination by C-STORE, over an association that is kept."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from pydicom import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from lightbox.deliver.association import VERIFICATION, Association, Response, peer_of
from lightbox.deliver.file import unchanged
from lightbox.deliver.status import NETWORK, Action, DestinationError, Network, of_status
from lightbox.deliver.transcode import (
    SECONDARY_CAPTURE,
    encoded,
    is_plain,
    offered,
    reencoded,
    to_try,
)
from lightbox.domain.result import Result
from lightbox.settings import DestinationSettings

CLASSES = (
    SECONDARY_CAPTURE,
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection
    "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
)
"""Storage SOP classes of our results, PS3.4 B.5."""

_log = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds that :meth:`CStore.close` waits for a result in hand."""


class CStore:
    """Sends results to one DICOM node (the Destination port).

    The association is opened at the first result and kept; if the peer has ended it meanwhile it
    is opened once more, unseen.

    Parameters
    ----------
    settings : DestinationSettings
        AE title, host and port.
    calling_ae : str
        Our AE title.
    root : Path
        Data directory: the paths of results are relative to it.

    Attributes
    ----------
    contexts : tuple of (str, str)
        SOP class and transfer syntax of each presentation context that is proposed.
    """

    def __init__(self, settings: DestinationSettings, calling_ae: str, root: Path) -> None:
        self.name = settings.name
        self._peer = peer_of(settings, calling_ae)
        self._syntaxes = settings.syntaxes
        # A context for each syntax: with several in one, some archives choose Implicit although
        # they know Explicit, and which one they choose is not what was preferred.
        self.contexts = (
            VERIFICATION,
            *((each, syntax) for each in CLASSES for syntax in offered(settings.syntaxes, each)),
        )
        self._root = root
        self._one_at_a_time = threading.Lock()
        self._kept: Association | None = None
        self._cut = threading.Event()

    def echo(self) -> None:
        """Send C-ECHO, over the kept association or a new one that is then kept.

        Raises
        ------
        DestinationError
            With the cause and the mend.
        """
        with self._one_at_a_time:
            self._cut.clear()
            reused = self._is_kept()
            try:
                self._association().echo()
            except DestinationError:
                self._drop()
                if not reused or self._cut.is_set():
                    raise
                self._association().echo()

    def send(self, result: Result) -> str:
        """Store one result; return a note, "" in the normal case.

        Raises
        ------
        DestinationError
            If it was not taken; ``action`` says what follows.
        """
        unchanged(self._root, result)
        path = self._root / result.path
        with self._one_at_a_time:
            self._cut.clear()
            reused = self._is_kept()
            try:
                return self._store(path, result)
            except DestinationError as error:
                if error.action is not Action.UNREACHABLE:
                    raise
                self._drop()
                if not reused or self._cut.is_set():
                    raise
                # The peer ended the kept association, before or while we sent. Sending the same
                # UID and bytes again cannot make a second object.
                return self._store(path, result)

    def close(self) -> None:
        """Release the association; the next result opens another.

        A result in hand gets a moment to finish, then its association is cut: it is sent again
        when there is time.
        """
        if self._one_at_a_time.acquire(timeout=_PATIENCE):
            try:
                self._drop()
            finally:
                self._one_at_a_time.release()
            return
        self._cut.set()
        kept = self._kept
        if kept is not None:
            kept.cut()

    def _is_kept(self) -> bool:
        return self._kept is not None and self._kept.is_open

    def _association(self) -> Association:
        if not self._is_kept():
            self._drop()
        if self._kept is None:
            self._kept = Association(self._peer, self.contexts)
            if self._cut.is_set():  # closed meanwhile, when there was nothing to cut yet
                self._drop()
                row = NETWORK[Network.LOST]
                raise DestinationError(row.action, self._peer.address, row.meaning, row.mend)
        return self._kept

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _store(self, path: Path, result: Result) -> str:
        association = self._association()
        refusal: DestinationError | None = None
        accepted = {s for sop_class, s in association.accepted if sop_class == result.sop_class_uid}
        for syntax in to_try(self._syntaxes, result.sop_class_uid, accepted):
            instance = _in(syntax, path)
            if instance is None:
                continue
            try:
                return self._note(association.store(instance), result)
            except DestinationError as error:
                if error.action is not Action.NOT_TAKEN:
                    raise
                refusal = error
        if refusal is not None:
            raise refusal
        row = NETWORK[Network.NO_CONTEXT]
        reason = f"this destination does not take {UID(result.sop_class_uid).name}"
        raise DestinationError(row.action, self._peer.address, reason, row.mend)

    def _note(self, response: Response, result: Result) -> str:
        answer = of_status(response.status)
        said = f"0x{response.status:04X} {answer.meaning}"
        said = f'{said}, "{response.comment}"' if response.comment else said
        if answer.action is Action.SUCCESS:
            return ""
        if answer.action is Action.NOTE:
            return said
        if answer.action is Action.NOT_TAKEN:
            said = f"this destination does not take {UID(result.sop_class_uid).name}: {said}"
        raise DestinationError(answer.action, self._peer.address, said, answer.mend)


def _in(syntax: str, path: Path) -> Path | Dataset | None:
    """Return the file where it is in this syntax, else its data set in it; None: it cannot be."""
    own = UID(read_file_meta_info(path).TransferSyntaxUID)
    if own == syntax:
        return path
    if is_plain(syntax):
        if own.is_compressed:
            return None
        return reencoded(path, syntax)
    try:
        return encoded(path, syntax)
    except (ValueError, RuntimeError) as error:  # pydicom, where a plug-in cannot do it
        _log.warning("%s is sent uncompressed: %s", path.name, error)
        return None
