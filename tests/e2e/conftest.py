from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lightbox.tools.orthanc import Orthanc, is_installed
from site_of_tests import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site that the tests of one file share."""
    folder: Path = tmp_path_factory.mktemp("site")
    if not is_installed():
        pytest.skip("Orthanc is not installed: apt-get install orthanc")
    with Orthanc(folder / "archive") as archive:
        site = Site(folder, archive)
        site.start()
        yield site
        site.service.stop()
