"""Everything is killed in the middle; after the restart every accepted study has its results, once."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from lightbox.domain.standing import AuditState
from site_of_tests import SAMPLES, Site, answered

pytestmark = pytest.mark.usefixtures("site")


def test_accepted_studies_get_their_results_once_after_kill_9(site: Site) -> None:
    assert site.send(*SAMPLES[:3]).returncode == 0
    assert site.send(SAMPLES[3], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(1))
    site.kill()
    site.start()
    site.until(answered(4), 90)
    held = Counter(site.held())
    assert max(held.values()) == 1
    for study in site.studies():
        fast = [r for r in study.results if r.path == "fast"]
        assert len(fast) == len({r.result.kind for r in fast})
        assert {r.result.sop_instance_uid for r in fast} <= set(held)
    assert site.prove().ok


@pytest.mark.slow
def test_a_killed_worker_comes_back_by_itself_and_its_audit_goes_on(site: Site) -> None:
    assert site.send(*SAMPLES[:2]).returncode == 0  # what came before is known: no second job
    site.until(lambda a: any(s.audit.state is AuditState.RUNNING for s in a.studies()), 60)
    before = len(site.studies())
    os.kill(site.child("work"), signal.SIGKILL)
    assert site.send(SAMPLES[4], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(before + 1), 90)
    site.until(lambda a: any(s.audit.state is AuditState.DONE for s in a.studies()), 150)
    proof = site.prove()
    assert proof.ok, proof.problems


def test_sigterm_drains_and_exits_0(site: Site) -> None:
    assert site.service.stop() == 0
    assert site.prove().ok
