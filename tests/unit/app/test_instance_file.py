from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_images import a_file, an_image
from lightbox.app.instance_file import instance_of
from lightbox.domain.errors import UnreadableError

UIDS = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A file of some kilobytes that becomes 16 million pixels."""
    image = an_image(np.zeros((4000, 4000), np.uint8), UIDS)
    return a_file(tmp_path / "bomb.dcm", image, DeflatedExplicitVRLittleEndian)


def test_of_a_deflated_file_the_header_alone_is_inflated(bomb: Path) -> None:
    """The console takes files of strangers (``rules_trial``), in the control process."""
    tracemalloc.start()
    try:
        found = instance_of(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4_000_000
    assert (found.study_instance_uid, found.series_instance_uid) == ("1.2.3", "1.2.4")
    assert found.transfer_syntax_uid == DeflatedExplicitVRLittleEndian
    assert found.size_bytes == bomb.stat().st_size < 100_000


def test_a_deflated_file_that_is_cut_off_is_one_clear_line(bomb: Path) -> None:
    bomb.write_bytes(bomb.read_bytes()[:420])
    with pytest.raises(UnreadableError, match="cut off") as caught:
        instance_of(bomb)
    assert "\n" not in str(caught.value)


def test_what_is_no_dicom_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_text("not at all")
    with pytest.raises(UnreadableError, match="is not a DICOM file"):
        instance_of(path)
