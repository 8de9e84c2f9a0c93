"""A PNG of every result, also where there are several of one kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from explained_builders import a_stack
from lightbox.results.slices.mosaic import Mosaic
from lightbox.results.slices.one_slice import OneSlice
from lightbox.results.write import Write
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage
from lightbox.tools.previews import write_previews


def test_each_of_several_pictures_has_a_file_of_its_own(tmp_path: Path) -> None:
    explained = a_stack(12, key=6, further={3: 0.7, 9: 0.8})
    door = Write((Mosaic(), OneSlice()), FolderStorage(tmp_path, Files()), validate=False)
    results = door.write(explained)
    made = write_previews(tmp_path, results, None, tmp_path, "study")
    assert [path.name for path in made.values()] == [
        "study_mosaic.png", "study_slice_1.png", "study_slice_2.png",
    ]  # fmt: skip
    for result in results:
        shown = np.asarray(Image.open(made[result.sop_instance_uid]))
        assert np.array_equal(shown, pydicom.dcmread(tmp_path / result.path).pixel_array)
