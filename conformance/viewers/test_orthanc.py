"""Promise: the viewers that come with Orthanc show our picture and our region as they are.

Orthanc Explorer is part of it, the web viewer a package of Debian (orthanc-webviewer). Neither
overlays one object on another: the picture is what people read there.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from chromium import Browser, BrowserError, Page
from lightbox.domain.arrays import Picture
from lightbox.domain.result import ResultKind
from lightbox.tools.orthanc import Orthanc, is_installed
from site_of_tests import SAMPLES
from viewers import ramp
from viewers.objects import explain, made_of, store
from viewers.seen import keep, likeness

pytestmark = pytest.mark.slow

_PLUGINS = Path("/usr/share/orthanc/plugins")
_SLIDER = 20
"""Pixels under the image, in which one moves through a series."""
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Return an archive with the web viewer, in which a ramp and its results are."""
    plugin = next(_PLUGINS.glob("libOrthancWebViewer.so*"), None)
    if not is_installed() or plugin is None:
        pytest.skip("not installed: apt-get install orthanc orthanc-webviewer")
    folder = tmp_path_factory.mktemp("archive")
    options = {"Plugins": [str(plugin)], "WebViewer": {"CachePath": str(folder / "cache")}}
    with Orthanc(folder, options=options) as archive:
        files = ramp.write(folder / "source", ramp.STACKS["coronal"], "Orthanc")
        store(archive, files, made_of(ramp.explained(files)).values())
        yield archive


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[ResultKind, pydicom.Dataset]:
    folder = tmp_path_factory.mktemp("source")
    files = ramp.write(folder, ramp.STACKS["coronal"], "Orthanc")
    made = made_of(ramp.explained(files))
    return {kind: pydicom.dcmread(io.BytesIO(data)) for kind, data in made.items()}


def ask(archive: Orthanc, path: str, data: bytes | None = None) -> Any:
    with _LOCAL.open(urllib.request.Request(archive.http_url + path, data), timeout=30) as answer:
        return json.load(answer)


def id_of(archive: Orthanc, level: str, uid: str) -> str:
    """Return what Orthanc calls a study, series or instance."""
    found = ask(archive, "/tools/lookup", uid.encode())
    return str(next(row["ID"] for row in found if row["Type"] == level))


def until(page: Page, holds: Callable[[Picture], bool], what: str) -> Picture:
    """Look at the page until it holds of what is seen."""
    nap = threading.Event()
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        data = page.call("Page.captureScreenshot", format="png")["data"]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            seen = np.asarray(image.convert("RGB"))
        if holds(seen):
            return seen
        nap.wait(0.2)
    raise BrowserError(f"never seen: {what}; problems: {page.problems()}")


def test_the_explorer_lists_every_result_by_its_name(
    archive: Orthanc, browser: Browser, results: dict[ResultKind, pydicom.Dataset]
) -> None:
    study = id_of(archive, "Study", results[ResultKind.SECONDARY_CAPTURE].StudyInstanceUID)
    page = browser.page()
    page.goto(f"{archive.http_url}/app/explorer.html#study?uuid={study}")
    for dataset in results.values():
        page.until_text(dataset.SeriesDescription)
    page.close()


def test_the_preview_of_the_picture_is_the_picture(
    archive: Orthanc, results: dict[ResultKind, pydicom.Dataset]
) -> None:
    dataset = results[ResultKind.SECONDARY_CAPTURE]
    instance = id_of(archive, "Instance", dataset.SOPInstanceUID)
    with _LOCAL.open(f"{archive.http_url}/instances/{instance}/preview", timeout=30) as answer:
        shown = np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))
    assert np.array_equal(shown, dataset.pixel_array)


def in_web_viewer(archive: Orthanc, browser: Browser, dataset: pydicom.Dataset) -> Page:
    page = browser.page(1600, 1000)
    series = id_of(archive, "Series", dataset.SeriesInstanceUID)
    page.goto(f"{archive.http_url}/web-viewer/app/viewer.html?series={series}")
    return page


def test_the_web_viewer_shows_the_whole_picture(
    archive: Orthanc, browser: Browser, results: dict[ResultKind, pydicom.Dataset]
) -> None:
    dataset = results[ResultKind.SECONDARY_CAPTURE]
    page = in_web_viewer(archive, browser, dataset)
    until(page, lambda p: likeness(p[:-_SLIDER], dataset.pixel_array) > 0.9, "the picture")
    page.close()


def test_the_web_viewer_shows_a_picture_of_the_service_whole(
    archive: Orthanc, browser: Browser, tmp_path: Path
) -> None:
    sample = next(file for file in SAMPLES if file.stem == "glioma_axial_2014")
    file = next(file for file in explain(tmp_path, sample) if file.name.endswith(".sc.dcm"))
    store(archive, [sample, file])
    dataset = pydicom.dcmread(file)
    page = in_web_viewer(archive, browser, dataset)
    seen = until(page, lambda p: likeness(p[:-_SLIDER], dataset.pixel_array) > 0.9, "the picture")
    keep("orthanc-grad_cam-sc", seen)
    page.close()


def test_the_web_viewer_shows_the_region_as_a_mask(
    archive: Orthanc, browser: Browser, results: dict[ResultKind, pydicom.Dataset]
) -> None:
    page = in_web_viewer(archive, browser, results[ResultKind.SEGMENTATION])

    mask = np.repeat(255 * ramp.region().astype(np.uint8)[..., np.newaxis], 3, axis=2)
    until(page, lambda p: likeness(p[:-_SLIDER], mask) > 0.9, "the mask")
    page.close()
