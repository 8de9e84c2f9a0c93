"""Which mask ``lightbox explain --mask`` takes for a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightbox.domain.errors import UsageError
from lightbox.tools.explained_files import mask_for


def a_mask(path: Path, row: int) -> Path:
    mask = np.zeros((4, 4), np.uint8)
    mask[row] = 255
    Image.fromarray(mask).save(path)
    return path


def test_a_picture_is_the_mask_of_every_file(tmp_path: Path) -> None:
    one = a_mask(tmp_path / "one.png", 1)
    for file in ("a.dcm", "b.dcm"):
        found = mask_for(tmp_path / file, one)
        assert found is not None
        assert found[1].all()


def test_a_folder_has_each_file_s_own_and_need_not_have_all(tmp_path: Path) -> None:
    a_mask(tmp_path / "a.mask.png", 0)
    a_mask(tmp_path / "b.mask.png", 3)
    first, last = mask_for(Path("a.dcm"), tmp_path), mask_for(Path("b.dcm"), tmp_path)
    assert first is not None
    assert last is not None
    assert first[0].all()
    assert not first[3].any()
    assert last[3].all()
    assert mask_for(Path("c.dcm"), tmp_path) is None
    assert mask_for(Path("a.dcm"), None) is None


def test_what_is_no_picture_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UsageError, match="give a PNG of the source's size"):
        mask_for(Path("a.dcm"), tmp_path / "text.png")
