from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from builders import a_result_file
from dicom_images import a_file, an_image
from lightbox.deliver.association import MOST_CONTEXTS, Peer
from lightbox.domain.errors import UsageError
from lightbox.tools.send import _groups, _Instance, files_in, send

NOBODY = Peer("node", "NODE", "127.0.0.1", 1, "ME")


def test_folders_are_read_to_their_depth_in_order_and_without_the_dicomdir(tmp_path: Path) -> None:
    for name in ("b/2", "b/10", "a/x", "a/x.mask.PNG", "a/NOTE.md", "DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files_in([tmp_path, tmp_path / "b" / "2"])
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["a/x", "b/10", "b/2", "b/2"]
    mask = tmp_path / "a" / "x.mask.PNG"
    assert files_in([mask]) == [mask]  # named by a person, who is told what is wrong with it


def test_a_path_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        files_in([tmp_path / "nothing"])


def test_nothing_to_send_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to send"):
        send([tmp_path], NOBODY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a letter", "is not a DICOM file"),
        (b"", "is not a DICOM file"),
        (bytes(128) + b"DICM", "is no complete DICOM file"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", "is no complete DICOM file"),
    ],
)
def test_what_is_not_dicom_is_one_clear_line_and_nobody_is_called(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "odd").write_bytes(content)
    report = send([tmp_path], NOBODY)
    assert not report.ok
    assert report.stored == 0
    (one,) = report.files
    assert one.detail.startswith(reason)
    assert "\n" not in one.detail


def test_a_file_that_may_not_be_read_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "good.dcm").write_bytes(b"")
    result = a_result_file(tmp_path)
    assert result.path
    assert tmp_path / "loop" not in files_in([tmp_path])


def test_more_than_128_contexts_take_several_associations_in_the_order_of_the_files() -> None:
    instances = [
        _Instance(Path(str(n)), "1", (f"1.2.{n % 200}", "1.2.840.10008.1.2")) for n in range(400)
    ]
    groups = _groups(instances)
    assert [i for group in groups for i in group.instances] == instances
    assert all(len(group.contexts) <= MOST_CONTEXTS for group in groups)
    assert len(groups) == 4


def test_no_files_make_no_group() -> None:
    assert _groups([]) == []


def test_a_file_that_contradicts_itself_is_named_and_nobody_is_called(tmp_path: Path) -> None:
    image = an_image(np.zeros((8, 8), np.uint8))
    a_file(tmp_path / "odd.dcm", image)
    dataset = pydicom.dcmread(tmp_path / "odd.dcm")
    dataset.SOPInstanceUID = "1.2.3.4"
    pydicom.dcmwrite(tmp_path / "odd.dcm", dataset, enforce_file_format=False)
    (one,) = send([tmp_path], NOBODY).files
    assert "contradicts itself" in one.detail
