"""A whole service whose device fails: too little memory, nonsense, and a context that is gone."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lightbox.domain.account import Account
from lightbox.domain.result import ListedReason
from lightbox.domain.standing import AuditState, Verdict
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site, answered

pytestmark = pytest.mark.slow

FAULTS = Path(__file__).parents[1] / "faults"
FULL = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv "
    "node. Status Message: bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal "
    "Failed to allocate memory for requested buffer of size 411041792"
)
LOST = "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 710: device-side assert triggered ; GPU=0"


class Failing(Site):
    """A site whose engine can be made to fail."""

    def fault(self, **how: Any) -> None:
        (self.folder / "fault").write_text(json.dumps(how))

    def heal(self) -> None:
        (self.folder / "fault").unlink(missing_ok=True)

    def degraded(self) -> list[str]:
        with urllib.request.urlopen(self.web + "/readyz", timeout=10) as answer:
            found: list[str] = json.load(answer)["degraded"]
        return found

    def metric(self, line: str) -> float:
        with urllib.request.urlopen(self.web + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        (value,) = (each.split()[-1] for each in text.splitlines() if each.startswith(line))
        return float(value)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    monkeypatch.setenv("PYTHONPATH", str(FAULTS))
    monkeypatch.setenv("LIGHTBOX_TEST_FAULT", str(tmp_path / "fault"))
    with Archive(tmp_path / "archive") as archive:
        site = Failing(tmp_path, archive, "[audit]\nmax_evaluations = 700\n")
        site.start()
        yield site
        site.service.stop()


def test_a_worker_whose_device_is_lost_is_replaced_and_its_study_arrives_once(
    site: Failing,
) -> None:
    first = site.child("work")
    site.fault(**{"raise": LOST, "times": 1})
    assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(1), 120)
    assert site.child("work") != first
    assert "work ended (its device was lost), starting it again" in site.log.read_text()
    (words,) = (each for each in site.degraded() if "replaced" in each)
    assert words.startswith("the worker was replaced (1 times so far): cpu: [ONNXRuntimeError]")
    assert site.metric("lightbox_worker_replacements") == 1
    held = site.held()
    assert len(held) == len(set(held))
    assert site.prove().ok


def test_a_study_that_loses_the_device_each_time_is_given_up_and_others_go_on(
    site: Failing,
) -> None:
    site.fault(**{"raise": LOST, "times": 3, "pictures": True})
    assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
    account = site.until(lambda a: any(v.reason for v in verdicts(a)), 180)
    (verdict,) = verdicts(account)
    assert verdict.reason == ListedReason.FAILED
    assert verdict.detail == "it stopped the process 3 times"
    assert site.send(SAMPLES[1], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(1), 120)
    assert site.prove().ok


def test_nonsense_gives_no_result_and_after_three_the_model_is_not_asked(site: Failing) -> None:
    site.fault(nan=True)
    for number, sample in enumerate(SAMPLES[:4], 1):
        assert site.send(sample, called="LIGHTBOX_STAT").returncode == 0
        site.until(partial(listed, number), 60)
    account = site.until(lambda _: True)
    assert {v.reason for v in verdicts(account)} == {ListedReason.WITHHELD}
    details = sorted(v.detail for v in verdicts(account))
    assert (
        sum("numbers that are not finite" in d and "out of service" not in d for d in details) == 3
    )
    assert sum("is out of service after 3 unsound outputs" in d for d in details) == 1
    assert site.held() == []
    (words,) = (each for each in site.degraded() if "out of service" in each)
    assert words.startswith("model brain_tumour_mri is out of service: answered with numbers")
    of = 'lightbox_worker_condition{model="brain_tumour_mri",what="out_of_service"}'
    assert site.metric(of) == 1
    assert site.prove().ok


def test_with_little_memory_an_audit_goes_on_with_small_batches_and_with_none_it_waits(
    site: Failing,
) -> None:
    assert site.send(SAMPLES[0]).returncode == 0
    site.until(lambda a: any(s.audit.state is AuditState.RUNNING for s in a.studies()), 60)
    site.fault(**{"raise": FULL, "more_than": 1})
    site.until(lambda _: any("1 at a time" in words for words in site.degraded()), 60)
    assert site.send(SAMPLES[1], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(2), 60)
    site.fault(**{"raise": FULL})
    site.until(lambda _: any("audits of" in words for words in site.degraded()), 60)
    site.heal()
    assert site.send(SAMPLES[2], called="LIGHTBOX_STAT").returncode == 0
    account = site.until(answered(3), 60)
    assert not any(s.audit.state is AuditState.FAILED for s in account.studies())
    assert site.prove().ok


def listed(count: int, account: Account) -> bool:
    return sum(bool(verdict.reason) for verdict in verdicts(account)) == count


def verdicts(account: Account) -> list[Verdict]:
    return [i.verdict for study in account.studies() for i in study.instances]
