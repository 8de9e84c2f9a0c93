"""One browser and one archive for all; skipped with the reason where a part of it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from chromium import Browser, chromium
from lightbox.tools.orthanc import Orthanc, is_installed
from viewers import ohif
from viewers.ohif import Ohif
from viewers.seen import keep
from viewers.study import Study

_OPEN = pytest.StashKey[list[Study]]()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    profile = tmp_path_factory.mktemp("browser") / "profile"
    with Browser(profile, webgl=True, patience=90.0) as browser:
        yield browser


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if not is_installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    with Orthanc(tmp_path_factory.mktemp("archive")) as archive:
        if not archive.stow_url:
            pytest.skip("Orthanc has no DICOMweb: apt-get install orthanc-dicomweb")
        yield archive


@pytest.fixture(scope="session")
def viewer(archive: Orthanc) -> Iterator[Ohif]:
    if not ohif.is_installed():
        pytest.skip(ohif.MISSING)
    with Ohif(archive.stow_url) as viewer:
        yield viewer


@pytest.fixture
def opened(
    viewer: Ohif, browser: Browser, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Study]]:
    """Open a study in a window of its own, by its UID and how many series it has."""
    studies = request.node.stash.setdefault(_OPEN, [])

    def open_(study_instance_uid: str, series: int, *size: tuple[int, int]) -> Study:
        study = Study(browser, *size)
        studies.append(study)
        study.open(viewer.study_url(study_instance_uid), series)
        return study

    yield open_
    for study in studies:
        study.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what was seen when a test failed, where pictures are asked for."""
    report = yield
    if report.when == "call" and report.failed:
        for study in item.stash.get(_OPEN, []):
            keep(f"failed-{item.name.replace('/', '-')}", study.window())
    return report
