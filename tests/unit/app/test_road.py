"""Which event leads to which door, and that no stranger's header stops the road."""

from __future__ import annotations

from typing import Any, cast

import pytest

from builders import a_stored, an_instance
from fakes.ledger import FakeLedger
from lightbox.app.road import Road
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.errors import UnreadableError
from lightbox.domain.events import InstanceListed, Recorded
from lightbox.domain.result import ListedReason


class Silent:
    """Stands where this test asks for nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_arguments, **_named: ()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnreadableError("file", "is cut off"), "is cut off"),
        (RecursionError("deep"), "RecursionError"),
        (KeyError("PatientName of somebody"), "KeyError"),
    ],
)
def test_an_instance_that_cannot_be_described_is_listed_and_the_road_goes_on(
    error: Exception, words: str
) -> None:
    ledger = FakeLedger()

    def describe(_: str) -> dict[str, str]:
        raise error

    silent = cast("Any", Silent())
    road = Road(
        ledger=ledger, describe=describe, assemble=silent, place=silent, sends={},
        wants=lambda *_: True, packages={}, audits=AuditPolicy(), commitments=silent,
    )  # fmt: skip
    stored = a_stored(an_instance())
    road.follow(Recorded("receive", 1, 0.0, "", stored), None)
    (listed,) = [event for event in ledger.events if isinstance(event, InstanceListed)]
    assert listed.reason is ListedReason.UNREADABLE
    assert words in listed.detail
    assert "somebody" not in listed.detail
