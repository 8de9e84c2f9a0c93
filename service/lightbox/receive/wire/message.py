"""One DIMSE message: fragments of a command set, then of its data set, then the answer (PS3.7 6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lightbox.domain.commitment import CommitmentReported, CommitmentRequested
from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.domain.events import InstanceStored
from lightbox.ports import Ledger
from lightbox.receive import status
from lightbox.receive.commitment import Heading, Letter, NotDoneError
from lightbox.receive.intake import Incoming, Intake
from lightbox.receive.limits import Memory
from lightbox.receive.store import Store
from lightbox.receive.wire import command
from lightbox.receive.wire.command import Command
from lightbox.receive.wire.negotiate import NOT_STORAGE, Agreement
from lightbox.receive.wire.pdu import AbortReason, Pdv, ProtocolError
from lightbox.settings import Limits

_COMMAND_SET_AT_MOST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and what there is to count.

    Attributes
    ----------
    status : str
        As :class:`Observation` has it; "" where there is nothing to count.
    refused : str
        Why, if it was refused.
    asked : CommitmentRequested or None
        What a peer wants us to keep; a report is due.
    """

    command_set: bytes
    status: str = ""
    seconds: float = 0.0
    bytes: int = 0
    refused: str = ""
    asked: CommitmentRequested | None = None


class Services:
    """What an association can ask for.

    Parameters
    ----------
    agreement : Agreement
        What was negotiated.
    peer, association : str
        Address and identifier.
    store : Store
        Where instances go.
    ledger : Ledger
        Where requests about storage commitment go.
    limits : Limits
        Bounds of a message.
    """

    def __init__(
        self,
        agreement: Agreement,
        peer: str,
        association: str,
        *,
        store: Store,
        ledger: Ledger,
        limits: Limits,
    ) -> None:
        self.agreement = agreement
        self.limits = limits
        self.stored = 0
        self._peer = peer
        self._association = association
        self._store = store
        self._ledger = ledger

    def intake(self, request: Command) -> Intake:
        """Begin to store the instance of a C-STORE-RQ.

        Raises
        ------
        RefusedError
            If it is not taken.
        """
        context = self.agreement.contexts[request.context_id]
        if context.abstract_syntax in NOT_STORAGE:
            raise RefusedError(
                RefusalReason.SOP_CLASS_NOT_SUPPORTED, "context", "is not for storage"
            )
        if not request.has_data_set:
            raise RefusedError(RefusalReason.CANNOT_UNDERSTAND, "command", "has no data set")
        if request.sop_class_uid != context.abstract_syntax:
            raise RefusedError(
                RefusalReason.DATA_SET_DISAGREES, "command", "SOP class is not the context's"
            )
        return self._store.accept(
            Incoming(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=context.transfer_syntax,
                calling_ae=self.agreement.calling_ae,
                called_ae=self.agreement.called_ae,
                peer=self._peer,
                association=self._association,
                priority=request.priority,
                inflated=self.limits.inflated,
            )
        )

    def letter(self, request: Command) -> Letter:
        """Begin to take an N-ACTION-RQ or N-EVENT-REPORT-RQ.

        Raises
        ------
        RefusedError
            If it is not taken.
        """
        context = self.agreement.contexts[request.context_id]
        if request.sop_class_uid != context.abstract_syntax:
            raise RefusedError(
                RefusalReason.SOP_CLASS_NOT_SUPPORTED, "command", "SOP class is not the context's"
            )
        heading = Heading(
            is_report=request.field == command.N_EVENT_REPORT_RQ,
            kind=request.type_id,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae=self.agreement.calling_ae,
            peer=self._peer,
        )
        return Letter(heading, self._ledger)


class Message:
    """A message that is being received.

    Parameters
    ----------
    services : Services
        What may be asked for.
    memory : Memory
        Budget for what is held.
    """

    def __init__(self, services: Services, memory: Memory) -> None:
        self._services = services
        self._memory = memory
        self._command_set = bytearray()
        self._request: Command | None = None
        self._intake: Intake | Letter | None = None
        self._refused: RefusedError | None = None
        self._bytes = 0
        self._held = 0
        self._began = time.monotonic()
        self._in_command = True
        self.context_id = 0

    def begin_fragment(self, pdv: Pdv) -> None:
        """Check a fragment's header against the message so far.

        Raises
        ------
        ProtocolError
            If it does not belong here.
        """
        if not self.context_id:
            if pdv.context_id not in self._services.agreement.contexts:
                raise ProtocolError(
                    AbortReason.INVALID_PARAMETER, f"presentation context {pdv.context_id}"
                )
            self.context_id = pdv.context_id
        if pdv.context_id != self.context_id or pdv.is_command != self._in_command:
            raise ProtocolError(AbortReason.UNEXPECTED_PARAMETER, "a fragment out of its place")
        if not pdv.is_command:
            return
        if len(self._command_set) + pdv.length > _COMMAND_SET_AT_MOST:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "command set too long")
        try:
            self._hold(len(self._command_set) + pdv.length)
        except RefusedError as error:
            raise ProtocolError(AbortReason.NOT_SPECIFIED, str(error)) from error

    def add(self, piece: memoryview) -> None:
        """Take bytes of the fragment.

        Raises
        ------
        ProtocolError
            If the message goes on for ever.
        """
        if self._in_command:
            self._command_set += piece
            return
        self._bytes += len(piece)
        most = self._services.limits.message
        if self._bytes > 2 * most:
            raise ProtocolError(AbortReason.NOT_SPECIFIED, f"data set over {2 * most} bytes")
        if self._intake is None:
            return  # refused already: read on to its end, keep nothing, then say why
        if self._bytes > most:
            self._refuse(RefusedError(RefusalReason.TOO_LARGE, "data set", f"over {most} bytes"))
            return
        try:
            self._intake.add(piece)
            self._hold(self._intake.held)
        except RefusedError as error:
            self._refuse(error)

    def end_fragment(self, pdv: Pdv) -> bool:
        """Say whether the message is complete.

        Raises
        ------
        ProtocolError
            If its command set cannot be read.
        """
        if not pdv.is_last:
            return False
        if not self._in_command:
            return True
        self._in_command = False
        request = self._request = command.parse(bytes(self._command_set), self.context_id)
        self._hold(0)
        begin = _BEGINNINGS.get(request.field)
        if begin is not None:
            try:
                self._intake = begin(self._services, request)
            except RefusedError as error:
                self._refuse(error)
        return not request.has_data_set

    def answer(self) -> Answer | None:
        """Do what was asked and return the response, or None where none is due."""
        request = self._request
        assert request is not None
        if request.field & command.RESPONSE or request.field == command.C_CANCEL_RQ:
            return None  # we asked for nothing, and there is nothing to cancel
        return _HANDLERS.get(request.field, Message._unrecognised)(self, request)

    @property
    def responded(self) -> tuple[int, int] | None:
        """The message of ours that this one answers and its status, None for a request."""
        request = self._request
        if request is None or not request.field & command.RESPONSE:
            return None
        return request.responded_to, request.status

    def close(self) -> None:
        """Let go of all that it holds; what is not stored by now is removed."""
        self._hold(0)
        intake, self._intake = self._intake, None
        if intake is not None:
            intake.close()

    def _hold(self, count: int) -> None:
        """Account for ``count`` bytes in memory, no more and no less."""
        if count == self._held:
            return
        if count > self._held:
            self._memory.take(count - self._held)
        else:
            self._memory.give_back(self._held - count)
        self._held = count

    def _refuse(self, error: RefusedError) -> None:
        self.close()
        self._refused = error

    def _echo(self, request: Command) -> Answer:
        return Answer(command.response(request, status.SUCCESS))

    def _unrecognised(self, request: Command) -> Answer:
        return Answer(command.response(request, status.UNRECOGNISED_OPERATION))

    def _commitment(self, request: Command) -> Answer:
        done = self._finish()
        asked = done if isinstance(done, CommitmentRequested) else None
        code, comment = status.SUCCESS, ""
        if self._refused is not None:
            code, comment = status.NORMALISED[self._refused.refusal], str(self._refused)
        if isinstance(self._refused, NotDoneError):
            code = self._refused.status
        self._hold(0)
        return Answer(command.response(request, code, comment), refused=comment, asked=asked)

    def _finish(self) -> InstanceStored | CommitmentRequested | CommitmentReported | None:
        if self._intake is None:
            return None
        try:
            return self._intake.finish()
        except RefusedError as error:
            self._refuse(error)
            return None

    def _store(self, request: Command) -> Answer:
        self._services.stored += self._finish() is not None
        code, comment = status.SUCCESS, ""
        if self._refused is not None:
            code, comment = status.REFUSALS[self._refused.refusal], str(self._refused)
        return Answer(
            command.response(request, code, comment),
            status.text(code),
            time.monotonic() - self._began,
            self._bytes,
            comment,
        )


_BEGINNINGS: Mapping[int, Callable[[Services, Command], Intake | Letter]] = MappingProxyType(
    {
        command.C_STORE_RQ: Services.intake,
        command.N_ACTION_RQ: Services.letter,
        command.N_EVENT_REPORT_RQ: Services.letter,
    }
)
"""Operation with a data set → what takes it."""

_HANDLERS: Mapping[int, Callable[[Message, Command], Answer]] = MappingProxyType(
    {
        command.C_STORE_RQ: Message._store,  # noqa: SLF001
        command.C_ECHO_RQ: Message._echo,  # noqa: SLF001
        command.N_ACTION_RQ: Message._commitment,  # noqa: SLF001
        command.N_EVENT_REPORT_RQ: Message._commitment,  # noqa: SLF001
    }
)
"""Operation → what is done."""
