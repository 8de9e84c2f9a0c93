from __future__ import annotations

from pathlib import Path

import pytest

from builders import a_result_file
from lightbox.deliver.file import unchanged
from lightbox.deliver.status import Action, DestinationError


def test_the_file_that_was_written_is_given(tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    assert unchanged(tmp_path, result) == (tmp_path / result.path).read_bytes()


@pytest.mark.parametrize("place", [0, 200, -1])
def test_one_changed_bit_is_found(tmp_path: Path, place: int) -> None:
    result = a_result_file(tmp_path)
    data = bytearray((tmp_path / result.path).read_bytes())
    data[place] ^= 1
    (tmp_path / result.path).write_bytes(data)
    with pytest.raises(DestinationError, match="changed on disk") as caught:
        unchanged(tmp_path, result)
    assert caught.value.action is Action.DEAD_LETTER
