from __future__ import annotations

from pathlib import Path

import numpy as np

from dicom_images import a_file, an_image
from lightbox.tools.demo.data import studies_in
from lightbox.tools.previews import outlined


def test_studies_whose_first_files_share_a_name_are_told_apart(tmp_path: Path) -> None:
    for number in ("1", "2"):
        image = an_image(np.full((64, 64), int(number), np.uint8))
        image.StudyInstanceUID = f"1.2.3.{number}"
        (tmp_path / number).mkdir()
        a_file(tmp_path / number / "IM0001.dcm", image)
    names = sorted(study.name for study in studies_in([tmp_path]))
    assert names == ["IM0001", "IM0001_2"]


def test_an_outline_of_another_shape_than_the_picture_is_drawn_alone() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True
    alone = np.asarray(outlined(mask, np.full((4, 4), 90, np.uint8)))
    assert alone.shape == (8, 8, 3)
    assert set(alone[~mask].ravel()) == {0}
    over = np.asarray(outlined(mask, np.full((8, 8), 90, np.uint8)))
    assert set(over[~mask].ravel()) == {90}
