"""The moment in which pynetdicom 3.0.4 loses an answer, and that it is none any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom._globals import MODE_REQUESTOR
from pynetdicom.association import Association

from lightbox.deliver.access.answers import Turns, take_turns


class Reactor(threading.Thread):
    """Takes what there is, in rounds, as pynetdicom's; stops once between its turn and taking."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.said: list[str] = []
        self.taken: list[str] = []
        self.turns = Turns(self)
        self.passed, self.go_on, self.ended = (threading.Event() for _ in range(3))

    def run(self) -> None:
        while not self.ended.wait(0.001):
            self.turns.wait()
            if not self.passed.is_set():
                self.passed.set()
                self.go_on.wait(30)
            self.taken += self.said


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    made.start()
    assert made.passed.wait(30)  # it has had its turn and takes, in a moment
    yield made
    made.ended.set()
    made.go_on.set()
    made.turns.set()
    made.join(30)


def asks(reactor: Reactor, held: threading.Event) -> None:
    reactor.turns.clear()
    held.set()
    reactor.said.append("an answer")


def test_who_sends_waits_for_a_reactor_that_still_takes(reactor: Reactor) -> None:
    held = threading.Event()
    sender = threading.Thread(target=asks, args=(reactor, held))
    sender.start()
    assert not held.wait(0.2)
    reactor.go_on.set()
    sender.join(30)
    assert held.is_set()
    assert reactor.taken == []


def test_a_reactor_stays_held_for_the_next_who_sends(reactor: Reactor) -> None:
    reactor.go_on.set()
    for _ in range(200):
        reactor.turns.clear()
        reactor.said.append("an answer")
        assert reactor.taken == []
        reactor.said.clear()
        reactor.turns.set()


def test_nobody_waits_for_a_reactor_that_has_ended(reactor: Reactor) -> None:
    reactor.ended.set()
    reactor.go_on.set()
    reactor.join(30)
    reactor.turns.clear()
    assert not reactor.turns.is_set()


def test_a_reactor_does_not_wait_for_itself() -> None:
    done = threading.Event()

    def run() -> None:
        turns = Turns(threading.current_thread())
        turns.clear()
        assert turns.wait(0.0)
        done.set()

    threading.Thread(target=run).start()
    assert done.wait(30)


def test_whoever_lets_it_go_on_meanwhile_ends_the_waiting(reactor: Reactor) -> None:
    """As ``kill`` does, from any thread."""
    sender = threading.Thread(target=reactor.turns.clear)
    sender.start()
    while reactor.turns.is_set():
        pass
    reactor.turns.set()
    sender.join(30)
    assert not sender.is_alive()


def test_pynetdicom_asks_what_we_put_there() -> None:
    association = Association(AE("LIGHTBOX"), MODE_REQUESTOR)
    assert isinstance(association._reactor_checkpoint, threading.Event)
    take_turns(association)
    code = {
        name
        for method in (Association._run_reactor, Association.send_c_store, Association.kill)
        for name in method.__code__.co_names
    }
    assert {"_reactor_checkpoint", "wait", "clear", "set"} <= code
