from __future__ import annotations

from pathlib import Path

import pytest

from builders import a_result_file
from lightbox.deliver.connection import even_length


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / a_result_file(tmp_path).path


def test_a_file_of_even_length_is_sent_itself(file: Path) -> None:
    with even_length(file) as sent:
        assert sent == file


def test_a_file_of_odd_length_is_sent_with_one_zero_more_and_left_alone(file: Path) -> None:
    odd = file.read_bytes() + b"\0"
    file.write_bytes(odd)
    with even_length(file) as sent:
        assert sent != file
        assert sent.read_bytes() == odd + b"\0"
    assert not sent.exists()
    assert file.read_bytes() == odd
