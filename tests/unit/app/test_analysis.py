"""What holds a model's breaker, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builders import a_job, a_predicted, an_instance
from fakes.ledger import FakeLedger
from lightbox.app.analysis import Analysis, Chances
from lightbox.domain.errors import ExplanationError, StoppingError
from lightbox.domain.jobs import JobPath
from lightbox.domain.urgency import Urgency


class Asked:
    """Notes which models are being asked."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.ever: list[str] = []

    @contextmanager
    def asking(self, model: str) -> Iterator[None]:
        self.now.append(model)
        self.ever.append(model)
        yield
        self.now.remove(model)


class Explains:
    """Has no map; notes who is asked when the evaluations begin, and goes no further."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.during: list[list[str]] = []

    def fast(self, *_: object) -> None:
        raise ExplanationError("grad_cam", "is flat")

    def identity(self, *_: object) -> str:
        self.during.append(list(self.asked.now))
        raise StoppingError("this is as far as this test goes")


def test_an_audit_asks_its_model_for_the_prediction_only_so_that_it_never_holds_its_breaker() -> (
    None
):
    instance, ledger, asked = an_instance("1"), FakeLedger(), Asked()
    audit = a_job(instance, path=JobPath.AUDIT, urgency=Urgency.AUDIT)
    ledger.record(a_predicted(a_job(instance)))
    explains = Explains(asked)
    seen: list[list[str]] = []

    def again(*_: object) -> Any:
        seen.append(list(asked.now))
        return SimpleNamespace(frame=None, output=None)

    anything = cast("Any", {audit.model_sha256: SimpleNamespace()})
    analysis = Analysis(
        ledger=ledger,
        turn=lambda *_: nullcontext(),
        chances=Chances(lambda _: None, lambda *_: StoppingError(), asked.asking),
        predict=cast("Any", SimpleNamespace(again=again)),
        attribute=cast("Any", explains),
        write=cast("Any", None),
        packages=anything,
        runtimes=anything,
        intact=lambda _: None,
        headers=lambda _: b"",
        values=Path(),
        known=cast("Any", None),
        chunks={audit.model_sha256: 8},
        destinations=(),
        notes=False,
        woke=lambda: None,
    )
    with pytest.raises(StoppingError):
        analysis.run(audit, cast("Any", None))
    assert (seen, explains.during) == ([[audit.model]], [[]])
