from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lightbox.domain.standing import AuditState
from lightbox.tools.orthanc import Orthanc, is_installed
from prometheus_peer import PROMETHEUS, Prometheus
from site_of_tests import SAMPLES, Site, answered

_RECORDING = Path(__file__).parents[3] / "deploy" / "prometheus" / "recording.yml"


@pytest.fixture(scope="package")
def resources() -> Iterator[ExitStack]:
    """What is closed when the tests of this folder are over."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory, resources: ExitStack) -> Site:
    """A site that is up, before anything was sent."""
    if not is_installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    folder: Path = tmp_path_factory.mktemp("site")
    site = Site(folder, resources.enter_context(Orthanc(folder / "archive")))
    site.start()
    resources.callback(site.service.stop)
    return site


@pytest.fixture(scope="package")
def site(started: Site, tmp_path_factory: pytest.TempPathFactory, resources: ExitStack) -> Site:
    """The site after one emergency went through it, fast path and audit, watched from the start."""
    if PROMETHEUS is not None:
        rules = _RECORDING.read_text().replace("interval: 1m", "interval: 1s")
        target = started.web.removeprefix("http://")
        peer = resources.enter_context(Prometheus(tmp_path_factory.mktemp("watch"), target, rules))
        peer.value("up{job='lightbox'} == 1")
        peer.value("lightbox_deadlines_total{urgency='STAT',outcome='met'}")
        _WATCHING.append(peer)
    assert started.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
    started.until(answered(1))
    started.until(lambda a: all(s.audit.state is AuditState.DONE for s in a.studies()), 180)
    return started


_WATCHING: list[Prometheus] = []


@pytest.fixture(scope="package")
def watched(site: Site) -> Prometheus:
    """A Prometheus that has seen all of it."""
    if not _WATCHING:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    done = "lightbox_turnaround_seconds_count{path='audit',urgency='AUDIT'} > 0"
    _WATCHING[0].value(done)
    return _WATCHING[0]
