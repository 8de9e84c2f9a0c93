"""One association, from the connection to its end: the loop that moves the bytes."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from lightbox.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, CommitmentRequested
from lightbox.domain.errors import LightboxError
from lightbox.domain.events import AssociationReleased
from lightbox.logs import log_association, logger
from lightbox.ports import Clock, Ledger
from lightbox.receive.commitment import JudgeHere, Report, elsewhere, report_of
from lightbox.receive.limits import Admission, Memory
from lightbox.receive.store import Store
from lightbox.receive.wire import negotiate, pdu
from lightbox.receive.wire.command import event_report
from lightbox.receive.wire.message import Message, Services
from lightbox.receive.wire.negotiate import Agreement, Rejection
from lightbox.receive.wire.observation import Observation
from lightbox.receive.wire.pdu import AbortReason, ClosedError, ProtocolError, SilentError, Wire
from lightbox.receive.wire.states import TABLE, Action, Event, State, event_of
from lightbox.receive.wire.tls import names_of
from lightbox.settings import Dicom
from lightbox.storage.naming import token

_LINGER = 2.0
_HEADER = 6

How: TypeAlias = Literal["released", "aborted", "lost"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all associations of a listener share."""

    settings: Dicom
    store: Store
    ledger: Ledger
    clock: Clock
    admission: Admission
    memory: Memory
    observe: Callable[[Observation], None]
    judge_here: JudgeHere = elsewhere


class Association:
    """A conversation with one peer, as acceptor. ``run`` it in a thread of its own.

    Parameters
    ----------
    wire : Wire
        Connected, TLS handshake done.
    peer : str
        Address of the other side.
    tls : ssl.SSLContext or None
        None: plain.
    shared : Surroundings
        Settings, store, counters.
    """

    def __init__(
        self, wire: Wire, peer: str, tls: ssl.SSLContext | None, shared: Surroundings
    ) -> None:
        self._wire = wire
        self._tls = tls
        self._peer = peer
        self._shared = shared
        self._limits = shared.settings.limits
        self._identifier = token()
        self._state = State.AWAITING_REQUEST
        self._agreement = Agreement("", "")
        self._message: Message | None = None
        self._services: Services | None = None
        self._reports: list[Report] = []
        self._between_messages = True
        self._draining = False
        self._has_last_word = False
        self._how: How = "lost"
        self._began = time.monotonic()

    def drain(self) -> None:
        """Ask it to end after the message in hand; from another thread."""
        self._draining = True
        if self._between_messages:
            self._wire.wake()

    def run(self) -> None:
        """Talk until the end; raises nothing that the peer can cause."""
        try:
            self._open()
            while self._state is State.ESTABLISHED:
                self._step()
        except ProtocolError as error:
            self._how = "aborted"
            logger().warning("protocol broken", peer=self._peer, reason=str(error))
            self._say(pdu.abort(error.reason))
        except SilentError:
            self._on_local(Event.TIMEOUT)
        except ClosedError as error:
            if str(error):
                logger().warning("connection refused", peer=self._peer, reason=str(error))
            self._on_local(Event.DRAIN if self._draining else Event.CLOSED)
        except Exception as error:  # noqa: BLE001  # one peer must not take the service with it
            logger().error("association handler", peer=self._peer, exc_info=error)
            self._on_local(Event.DRAIN)
        finally:
            self._tidy_up()
            if self._services is not None:
                self._left(self._services.stored)
            if self._has_last_word:
                self._wire.linger(_LINGER)
            self._wire.close()

    # ---- begin

    def _open(self) -> None:
        """Negotiate."""
        if self._tls is not None:
            self._wire.secure(self._tls, self._limits.handshake)
        deadline = self._began + self._limits.handshake
        kind, length = self._wire.first_header(deadline)
        action, self._state = TABLE[self._state, event_of(kind)]
        if action is Action.CLOSE:
            return
        if action is not Action.NEGOTIATE:
            raise _unexpected(kind)
        if length > self._limits.associate:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, f"A-ASSOCIATE-RQ of {length} bytes")
        head = bytes((kind, 0)) + length.to_bytes(4, "big")
        body = self._wire.body(length, deadline)
        request, version = negotiate.decode(head + body, self._limits.contexts)
        self._agreement, answer = negotiate.accept(
            request,
            self._limits.pdu,
            self._shared.settings.private_sop_classes,
            deflated=bool(self._limits.inflated),
        )
        rejection = negotiate.refuse(request, version, self._peer, self._shared.settings)
        named: tuple[str, ...] = ()
        if rejection is None and self._tls is not None and self._shared.settings.tls.bind_ae:
            named = names_of(self._wire.peer_certificate())
            if self._agreement.calling_ae not in named:
                rejection = Rejection.CALLING_AE
        if rejection is None and not self._shared.admission.enter(self._peer):
            rejection = Rejection.LOCAL_LIMIT
        if rejection is not None:
            self._state = State.AWAITING_CLOSE
            self._observe("rejected")
            logger().warning(
                "association rejected",
                reason=rejection.name.lower(),
                peer=self._peer,
                calling_ae=self._agreement.calling_ae,
                called_ae=self._agreement.called_ae,
                **({"certificate": ", ".join(named)} if named else {}),
            )
            self._say(negotiate.reject(request, rejection))
            return
        self._services = Services(
            self._agreement,
            self._peer,
            self._identifier,
            store=self._shared.store,
            ledger=self._shared.ledger,
            limits=self._limits,
        )
        self._wire.widen()
        self._observe("opened")
        self._wire.send(answer)

    # ---- the loop

    def _step(self) -> None:
        """Take one PDU."""
        self._between_messages = self._message is None
        if self._draining and self._between_messages:
            self._on_local(Event.DRAIN)
            return
        silence = self._limits.idle if self._between_messages else self._limits.pdu_time
        kind, length = self._wire.header(silence)
        self._between_messages = False
        action, self._state = TABLE[self._state, event_of(kind)]
        match action:
            case Action.DATA:
                self._data(length)
            case Action.RELEASE:
                self._how = "released"
                self._say(pdu.RELEASE_RP)
            case Action.CLOSE:
                self._how = "aborted"
            case Action.ABORT | Action.IGNORE | Action.NEGOTIATE:
                raise _unexpected(kind)
            case _:
                assert_never(action)

    def _data(self, length: int) -> None:
        """Take a P-DATA-TF."""
        if not 0 < length <= 4 * self._limits.pdu:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, f"P-DATA-TF of {length} bytes")
        assert self._services is not None
        while length:
            pdv = self._wire.pdv(length)
            length -= _HEADER + pdv.length
            if self._message is None:
                self._message = Message(self._services, self._shared.memory)
            message = self._message
            message.begin_fragment(pdv)
            for piece in self._wire.pieces(pdv.length):
                message.add(piece)
            if message.end_fragment(pdv):
                self._message = None
                try:
                    self._answer(message)
                finally:
                    message.close()

    def _answer(self, message: Message) -> None:
        answer = message.answer()
        if answer is None:
            self._responded(message.responded)
            return
        for piece in pdu.p_data(
            message.context_id, answer.command_set, self._agreement.longest_pdu
        ):
            self._wire.send(piece)
        if answer.status:
            self._observe(answer.status, answer.seconds, answer.bytes)
        if answer.refused:
            logger().warning(
                "request refused",
                status=answer.status,
                reason=answer.refused,
                calling_ae=self._agreement.calling_ae,
                peer=self._peer,
            )

        if answer.asked is not None:
            self._report(message.context_id, answer.asked)

    def _report(self, context_id: int, request: CommitmentRequested) -> None:
        """Report on storage commitment to a peer that can be reached in no other way."""
        judgement = self._shared.judge_here(request)
        if judgement is None:
            return
        agreed = self._agreement
        report = report_of(request, judgement, agreed.contexts[context_id].transfer_syntax)
        self._reports.append(report)
        said = event_report(PUSH_MODEL, PUSH_MODEL_INSTANCE, report.kind, len(self._reports))
        for piece in pdu.p_data(context_id, said, agreed.longest_pdu):
            self._wire.send(piece)
        data = report.data_set
        for piece in pdu.p_data(context_id, data, agreed.longest_pdu, is_command=False):
            self._wire.send(piece)

    def _responded(self, response: tuple[int, int] | None) -> None:
        """Record that the peer has taken a report of ours."""
        number, code = response or (0, 0)
        if code or not 0 < number <= len(self._reports):
            return
        try:
            self._shared.ledger.record(self._reports[number - 1].answered)
        except LightboxError as error:  # it is listed as not reported instead
            logger().error("report of storage commitment not recorded", reason=str(error))

    # ---- end

    def _on_local(self, event: Event) -> None:
        action, self._state = TABLE[self._state, event]
        if action is Action.ABORT:
            self._how = "aborted"
            self._say(pdu.abort(AbortReason.NOT_SPECIFIED))

    def _say(self, last: bytes) -> None:
        """Say the last thing of this association."""
        self._tidy_up()
        self._state = State.AWAITING_CLOSE
        with suppress(ClosedError):
            self._wire.send(last)
            self._has_last_word = True

    def _tidy_up(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.close()

    def _left(self, stored: int) -> None:
        self._shared.admission.leave(self._peer)
        seconds = time.monotonic() - self._began
        self._observe(self._how, seconds)
        released = AssociationReleased(self._identifier, stored, self._how)
        log_association(
            released,
            calling_ae=self._agreement.calling_ae,
            called_ae=self._agreement.called_ae,
            peer=self._peer,
            seconds=seconds,
        )
        if stored:
            try:
                self._shared.ledger.record(released)
            except LightboxError as error:  # its series become ready at force_after instead
                logger().error("end of association not recorded", reason=str(error))

    def _observe(self, status: str, seconds: float = 0.0, count: int = 0) -> None:
        self._shared.observe(
            Observation(
                associations_active=self._shared.admission.active,
                calling_ae=self._agreement.calling_ae,
                called_ae=self._agreement.called_ae,
                status=status,
                seconds=seconds,
                bytes=count,
            )
        )


def _unexpected(kind: int) -> ProtocolError:
    unknown = event_of(kind) is Event.UNRECOGNISED
    reason = AbortReason.UNRECOGNISED_PDU if unknown else AbortReason.UNEXPECTED_PDU
    return ProtocolError(reason, f"PDU of type {kind:#04x}")
