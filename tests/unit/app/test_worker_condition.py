"""What a worker has to do without: breakers, audits that wait, and the notice that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import NOON, a_job
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.processes.notices import Notices, condition_of
from lightbox.app.questions.breakers import Breakers
from lightbox.app.turns import Brake
from lightbox.domain.breaker import FAILURES, FIRST_WAIT
from lightbox.domain.condition import Condition
from lightbox.domain.errors import (
    DeferredError,
    NotApplicableError,
    OutOfServiceError,
    StoppingError,
    UnsoundError,
)
from lightbox.domain.jobs import JobPath
from lightbox.domain.urgency import Urgency
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage

MODEL = "chest_xray"


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.said: list[tuple[str, str]] = []
        self.breakers = Breakers(self.clock, lambda model, words: self.said.append((model, words)))

    def ask(self, error: BaseException | None = None) -> None:
        with self.breakers.asking(MODEL):
            if error is not None:
                raise error

    def fail(self) -> None:
        with pytest.raises(UnsoundError):
            self.ask(UnsoundError(MODEL, "answered with NaN"))


def test_after_three_unsound_outputs_in_a_row_a_model_is_not_asked_and_it_is_said_once() -> None:
    bench = Bench()
    for _ in range(FAILURES):
        bench.fail()
    with pytest.raises(OutOfServiceError, match="3 unsound outputs: answered with NaN"):
        bench.ask()
    assert bench.said == [(MODEL, "answered with NaN, 3 times in a row")]


def test_another_models_breaker_is_its_own() -> None:
    bench = Bench()
    for _ in range(FAILURES):
        bench.fail()
    with bench.breakers.asking("brain_tumour_mri"):
        pass


def test_after_a_minute_one_job_probes_and_a_sound_output_brings_it_back() -> None:
    bench = Bench()
    for _ in range(FAILURES):
        bench.fail()
    bench.clock.advance(FIRST_WAIT)
    with bench.breakers.asking(MODEL), pytest.raises(OutOfServiceError):
        bench.ask()  # while the probe is at it
    assert bench.said[-1] == (MODEL, "")
    bench.ask()


def test_what_is_no_fault_of_the_model_neither_opens_nor_closes_it() -> None:
    bench = Bench()
    for _ in range(FAILURES - 1):
        bench.fail()
    with pytest.raises(NotApplicableError):
        bench.ask(NotApplicableError("1.2.3", "shows nothing"))
    bench.fail()
    bench.clock.advance(FIRST_WAIT)
    with pytest.raises(StoppingError):
        bench.ask(StoppingError())
    bench.ask()


def test_audits_that_find_no_memory_wait_and_others_go_on(tmp_path: Path) -> None:
    clock, said = FakeClock(), []
    brake = Brake(FakeLedger(clock), tmp_path, clock, lambda m, words: said.append((m, words)))
    audit = a_job(path=JobPath.AUDIT, urgency=Urgency.AUDIT)
    deferred = brake.defer(audit, "not enough memory")
    assert brake.stops(deferred.model)
    with pytest.raises(DeferredError):
        brake.hold(audit)
    brake.hold(a_job())
    assert not brake.stops(audit.model)
    clock.advance(301)
    assert not brake.stops(deferred.model)
    brake.hold(audit)
    assert said == [(audit.model, "not enough memory"), (audit.model, "")]


def notices(root: Path, clock: FakeClock) -> Notices:
    return Notices(root, FolderStorage(root, Files()), clock)


def test_what_a_worker_says_of_itself_is_read_by_others_and_can_be_taken_back(
    tmp_path: Path,
) -> None:
    said = notices(tmp_path, FakeClock(NOON))
    assert condition_of(tmp_path) == Condition()
    said.say("eased", MODEL, "runs on cpu, 8 at a time: the GPU is full")
    said.say("out_of_service", MODEL, "NaN, 3 times in a row")
    assert list(condition_of(tmp_path).complaints(NOON)) == [
        f"model {MODEL} is out of service: NaN, 3 times in a row",
        f"model {MODEL} runs on cpu, 8 at a time: the GPU is full",
    ]
    said.say("eased", MODEL, "")
    said.say("out_of_service", MODEL, "")
    assert not list(condition_of(tmp_path).complaints(NOON))


def test_that_a_worker_was_replaced_is_remembered_by_its_successor(tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    for _ in range(2):
        said = notices(tmp_path, clock)
        said.say("out_of_service", MODEL, "NaN")
        said.lost("cuda: device-side assert triggered")
    notices(tmp_path, clock).say("devices", MODEL, "cuda")
    (line,) = condition_of(tmp_path).complaints(NOON + 60)
    assert line == "the worker was replaced (2 times so far): cuda: device-side assert triggered"
    assert not list(condition_of(tmp_path).complaints(NOON + 7200))


def test_a_notice_that_nobody_can_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "condition.json").write_text("{")
    assert condition_of(tmp_path) == Condition()


def test_decoders_that_differ_are_a_complaint_until_the_worker_starts_again(tmp_path: Path) -> None:
    storage, clock = FolderStorage(tmp_path, Files()), FakeClock()
    words = "two decoders differ: one and other in 9 of 256 samples"
    Notices(tmp_path, storage, clock).say("decoders", "MAKER, JPEG Lossless, 8 of 8 bits", words)
    (complaint,) = condition_of(tmp_path).complaints(NOON)
    assert complaint == f"images of MAKER, JPEG Lossless, 8 of 8 bits are refused where {words}"
    Notices(tmp_path, storage, clock).say("devices", MODEL, "cpu")
    assert not list(condition_of(tmp_path).complaints(NOON))
