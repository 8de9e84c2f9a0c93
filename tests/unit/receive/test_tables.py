from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.domain.errors import RefusalReason, RefusedError
from lightbox.receive import status
from lightbox.receive.limits import Admission, Memory
from lightbox.receive.wire import command
from lightbox.receive.wire.pdu import ProtocolError, p_data
from lightbox.receive.wire.states import TABLE, Action, Event, State, event_of

# ---- statuses


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_refusal_has_a_status_of_failure(reason: RefusalReason) -> None:
    code = status.REFUSALS[reason]
    assert code == 0x0122 or code >> 8 in (0xA7, 0xA9) or code >> 12 == 0xC


def test_statuses_are_written_as_people_write_them() -> None:
    assert status.text(0xA700) == "0xA700"
    assert status.text(0) == "0x0000"


# ---- states (PS3.8 table 9-10)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_event_in_every_state_has_an_action(state: State, event: Event) -> None:
    action, after = TABLE[state, event]
    if action in (Action.NEGOTIATE, Action.DATA):
        assert after is State.ESTABLISHED
    else:
        assert after is State.AWAITING_CLOSE


def test_data_is_taken_in_an_association_only() -> None:
    takes = [key for key, (action, _) in TABLE.items() if action is Action.DATA]
    assert takes == [(State.ESTABLISHED, Event.P_DATA)]


def test_nothing_leads_back_from_the_end() -> None:
    assert {TABLE[State.AWAITING_CLOSE, event][1] for event in Event} == {State.AWAITING_CLOSE}


@given(st.integers(0, 255))
def test_every_pdu_type_is_an_event(kind: int) -> None:
    event = event_of(kind)
    assert event.value == kind if 1 <= kind <= 7 else event is Event.UNRECOGNISED


# ---- command sets


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_set_or_a_protocol_error(data: bytes) -> None:
    try:
        command.parse(data, 1)
    except ProtocolError:
        return


@given(st.binary(min_size=1, max_size=400), st.integers(0, 60))
def test_a_command_set_is_cut_into_pdus_that_fit(data: bytes, longest: int) -> None:
    pdus = list(p_data(1, data, longest))
    assert b"".join(p[12:] for p in pdus) == data
    if longest >= 8:
        assert all(len(p) - 6 <= longest for p in pdus)
    assert [bool(p[11] & 2) for p in pdus] == [False] * (len(pdus) - 1) + [True] * bool(pdus)


def test_an_error_comment_fits_its_value_representation() -> None:
    request = command.Command(1, command.C_STORE_RQ, 5, "1.2", "1.2.3")
    answer = command.response(request, 0xA700, "ü\\" + "x" * 100)
    found = command._elements(answer)
    assert found[0x0902] == b"?/" + b"x" * 62
    assert found[0x0120] == b"\5\0"


# ---- counters


def test_no_more_associations_than_allowed_and_places_come_back() -> None:
    admission = Admission(overall=3, per_peer=2)
    assert [admission.enter(p) for p in ("a", "a", "a", "b", "c")] == [
        True,
        True,
        False,
        True,
        False,
    ]
    admission.leave("a")
    assert admission.active == 2
    assert admission.enter("c")


def test_memory_is_refused_over_the_limit_and_comes_back() -> None:
    memory = Memory(100)
    memory.take(100)
    with pytest.raises(RefusedError) as caught:
        memory.take(1)
    assert caught.value.refusal is RefusalReason.OUT_OF_RESOURCES
    memory.give_back(100)
    memory.take(1)
    assert memory.held == 1
