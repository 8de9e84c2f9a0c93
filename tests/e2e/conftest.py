from __future__ import annotations

from collections.abc import Iterator

import pytest

from site_of_tests import Site, a_running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site that the tests of one file share."""
    with a_running_site(tmp_path_factory.mktemp("site")) as site:
        yield site
