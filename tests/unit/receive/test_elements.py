from __future__ import annotations

import io
from pathlib import Path

import pydicom.data
import pydicom.filebase
import pydicom.filewriter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

import raw_peer as raw
from lightbox.domain.errors import RefusedError, UnreadableError
from lightbox.receive.elements import UNDEFINED, BrokenError, CutOffError, Elements
from lightbox.receive.header import describe
from lightbox.receive.identify import Head, Uids
from lightbox.receive.stored_file import file_meta

SYNTAXES = [raw.IMPLICIT, raw.EXPLICIT, raw.BIG_ENDIAN]
EXPECTED = Uids(raw.CT_IMAGE, raw.INSTANCE, raw.STUDY, raw.SERIES)


def encode(data_set: Dataset, syntax: str) -> bytes:
    """Return the data set as pydicom encodes it."""
    out = io.BytesIO()
    buffer = pydicom.filebase.DicomIO(out)
    buffer.is_implicit_VR = syntax == raw.IMPLICIT
    buffer.is_little_endian = syntax != raw.BIG_ENDIAN
    pydicom.filewriter.write_dataset(buffer, data_set)
    return out.getvalue()


def nested(depth: int, *, undefined: bool = True) -> Dataset:
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.9"
    for _ in range(depth):
        outer = Dataset()
        sequence = Sequence([inner])
        outer.ReferencedImageSequence = sequence
        outer["ReferencedImageSequence"].is_undefined_length = undefined
        inner.is_undefined_length_sequence_item = undefined
        inner = outer
    return inner


def example(depth: int = 0, *, undefined: bool = True) -> Dataset:
    data_set = nested(depth, undefined=undefined) if depth else Dataset()
    data_set.SOPClassUID = raw.CT_IMAGE
    data_set.SOPInstanceUID = raw.INSTANCE
    data_set.StudyInstanceUID = raw.STUDY
    data_set.SeriesInstanceUID = raw.SERIES
    data_set.Modality = "CT"
    data_set.PatientName = "Doe^Jane"
    data_set.PatientSex = "F"
    data_set.StudyDescription = "Chest"
    data_set.ImageType = ["ORIGINAL", "PRIMARY"]
    data_set.Rows = 512
    return data_set


def saved(path: Path, data_set: Dataset, syntax: str = raw.EXPLICIT) -> Path:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    data_set.save_as(path, enforce_file_format=True)
    return path


# ---- the four UIDs


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("depth", [0, 1, 5, 60])
@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("step", [1, 13, 10_000])
def test_uids_are_found_in_every_syntax_behind_any_sequence(
    syntax: str, depth: int, undefined: bool, step: int
) -> None:
    data = encode(example(depth, undefined=undefined), syntax)
    head = Head(syntax)
    for at in range(0, len(data), step):
        if head.add(memoryview(data[at : at + step])):
            break
    assert head.end() == EXPECTED
    assert head.held == 0


def test_too_deep_nesting_is_refused() -> None:
    data = encode(example(200), raw.EXPLICIT)
    with pytest.raises(RefusedError, match="nested"):
        Head(raw.EXPLICIT).add(memoryview(data))


def test_private_elements_of_unknown_kind_are_stepped_over() -> None:
    data_set = example()
    block = data_set.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(1, "UN", b"\1\2\3\4")
    block.add_new(2, "OB", bytes(70_000))
    head = Head(raw.EXPLICIT)
    assert head.add(memoryview(encode(data_set, raw.EXPLICIT)))
    assert head.uids == EXPECTED


def test_a_head_that_does_not_end_is_refused() -> None:
    head = Head(raw.IMPLICIT)
    endless = memoryview(bytes.fromhex("09001000ffffff7f") + bytes(2**20))
    for _ in range(3):
        assert not head.add(endless)
    with pytest.raises(RefusedError, match="no Series Instance UID"):
        head.add(memoryview(bytes(4 * 2**20)))


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(SYNTAXES), st.booleans())
def test_any_bytes_have_uids_or_are_refused(data: bytes, syntax: str, prefixed: bool) -> None:
    whole = encode(example(3), syntax)[:150] + data if prefixed else data
    head = Head(syntax)
    try:
        head.add(memoryview(whole))
        head.end()
    except RefusedError:
        return


@settings(max_examples=100)
@given(st.integers(0, 2000), st.integers(0, 255), st.sampled_from(SYNTAXES))
def test_no_changed_byte_breaks_the_walk(at: int, value: int, syntax: str) -> None:
    data = bytearray(encode(example(4), syntax))
    data[at % len(data)] = value
    try:
        list(Elements(data, syntax).until(0xFFFFFFFF))
    except (BrokenError, CutOffError):
        return


# ---- headers of stored files


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_header_is_described_without_the_patient(tmp_path: Path, syntax: str) -> None:
    data_set = example(2)
    device = Dataset()
    device.DeviceUID = "1.2.3.4"
    data_set.ContributingEquipmentSequence = Sequence([device, Dataset(), device])
    data_set.KVP = "120"
    path = saved(tmp_path / "x.dcm", data_set, syntax)
    wanted = ["PatientName", "PatientSex", "KVP", "ReferringPhysicianName", "NoKeyword"]
    found = dict(describe(path, wanted, 64))
    digests = found.pop("PatientDigests")
    assert all(len(pair.partition("=")[2]) == 32 for pair in digests.split())
    assert found == {
        "Modality": "CT",
        "StudyDescription": "Chest",
        "ImageType": "ORIGINAL\\PRIMARY",
        "Rows": "512",
        "KVP": "120",
        "ContributingDeviceUID": "1.2.3.4\\1.2.3.4",
        "HasPixelData": "NO",
    }


def test_of_the_patient_the_age_is_described_and_neither_birth_nor_what_it_was_made_of(
    tmp_path: Path,
) -> None:
    data_set = example(2)
    data_set.PatientBirthDate, data_set.StudyDate = "20200615", "20240614"
    path = saved(tmp_path / "dates.dcm", data_set)
    found = describe(path, ("PatientAge", "PatientBirthDate"), 64)
    assert found["CompletedYears"] == "3"
    data_set.PatientAge = "018M"
    found = describe(saved(tmp_path / "age.dcm", data_set), ("PatientAge", "StudyDate"), 64)
    assert found["CompletedYears"] == "1"
    assert not {"PatientAge", "PatientBirthDate"} & found.keys()
    assert "20200615" not in str(found)


def test_pixel_data_is_seen_and_not_read(tmp_path: Path) -> None:
    path = pydicom.data.get_testdata_file("CT_small.dcm")
    assert describe(Path(str(path)), (), 64)["HasPixelData"] == "YES"
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(Path(str(path)).read_bytes()[:-1000])
    with pytest.raises(UnreadableError, match="pixel data is cut off"):
        describe(cut, (), 64)


def test_every_cut_of_a_header_is_found(tmp_path: Path) -> None:
    whole = saved(tmp_path / "x.dcm", example(2)).read_bytes()
    cut = tmp_path / "cut.dcm"
    refused: list[str] = []
    for end in range(1, len(whole), 7):
        cut.write_bytes(whole[:end])
        try:
            describe(cut, (), 64)
        except UnreadableError as error:
            refused.append(str(error))
    assert len(refused) > len(range(1, len(whole), 7)) - 5  # an end between elements is an end
    assert not any("\n" in line for line in refused)


@pytest.mark.parametrize("depth", [70, 300, 2000])
def test_a_header_nested_too_deeply_is_one_clear_line(tmp_path: Path, depth: int) -> None:
    deep = bytes.fromhex("08001111ffffffff") + bytes.fromhex("feff00e0ffffffff")
    data = raw.implicit(0x00080016, raw.CT_IMAGE.encode()) + deep * depth
    path = tmp_path / "deep.dcm"
    path.write_bytes(file_meta(raw.CT_IMAGE, raw.INSTANCE, raw.IMPLICIT, "RAW") + data)
    with pytest.raises(UnreadableError, match="nested more than 64 deep"):
        describe(path, (), 64)


def test_the_limit_of_nesting_is_the_one_that_is_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.dcm", example(10))
    assert describe(path, (), 10)["Modality"] == "CT"
    with pytest.raises(UnreadableError, match="nested"):
        describe(path, (), 5)


@pytest.mark.parametrize("content", [b"", b"x", bytes(200), bytes(128) + b"DICM"])
def test_what_is_no_dicom_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(UnreadableError) as caught:
        describe(path, (), 64)
    assert "\n" not in str(caught.value)
    assert "x.dcm" in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(132, 3000), value=st.binary(min_size=1, max_size=4))
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).read_bytes())
    whole[at : at + len(value)] = value
    path = folder / "damaged.dcm"
    path.write_bytes(whole)
    try:
        describe(path, ("PixelSpacing", "RescaleSlope"), 64)
    except UnreadableError:
        return


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_passing_over_what_is_not_wanted_finds_the_same_at_every_cut(
    tmp_path: Path, syntax: str
) -> None:
    whole = saved(tmp_path / "x.dcm", example(2), syntax).read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    last = 0x0020000E
    wanted = frozenset((0x00080016, 0x00080018, 0x0020000D, last))

    def step_by_step(data: bytes) -> object:
        walk, values, passed = Elements(data, syntax), {}, False
        try:
            for element in walk.until(last):
                passed = element.tag >= last
                if element.tag in wanted and element.length != UNDEFINED:
                    values[element.tag] = walk.value(element)
        except (CutOffError, BrokenError) as error:
            return type(error)
        return values, passed

    def at_once(data: bytes) -> object:
        try:
            return Elements(data, syntax).values_of(wanted, last)
        except (CutOffError, BrokenError) as error:
            return type(error)

    for end in range(len(whole) - start):
        data = whole[start : start + end]
        assert at_once(data) == step_by_step(data), end
