"""Deflated data sets: taken where a site says how much they may become, and never beyond that."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

import raw_peer as raw
from dicom_images import a_file, a_picture, an_image
from lightbox.domain.errors import RefusalReason, RefusedError, UnreadableError
from lightbox.receive import header
from lightbox.receive.header import describe
from lightbox.receive.identify import Head
from lightbox.receive.inflate import DEFLATED, PIECE, Inflating
from lightbox.receive.stored_file import file_meta, read_back

KEYWORDS = ("SliceThickness", "StudyDate")


def a_uid_element(tag: int, uid: str) -> bytes:
    """Explicit VR Little Endian."""
    value = uid.encode() + bytes(len(uid) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(value)) + value


IDENTITY = (
    a_uid_element(0x00080016, raw.CT_IMAGE)
    + a_uid_element(0x00080018, raw.INSTANCE)
    + a_uid_element(0x0020000D, raw.STUDY)
    + a_uid_element(0x0020000E, raw.SERIES)
)


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    made = stream.compress(data) + stream.flush()
    return made + bytes(len(made) % 2)  # PS3.5 A.5


def inflated(data: bytes, most: int = 2**20, cut: int = 100) -> bytes:
    inflating = Inflating(most)
    parts = [data[at : at + cut] for at in range(0, len(data), cut)]
    pieces = [piece for part in parts for piece in inflating.add(part)]
    inflating.end()
    assert all(len(piece) <= PIECE for piece in pieces)
    return b"".join(pieces)


@given(st.binary(max_size=2000), st.integers(1, 300), st.integers(0, 3))
def test_what_was_deflated_comes_back_however_it_is_cut(data: bytes, cut: int, long: int) -> None:
    whole = data * 100**long if long < 2 else data + bytes(PIECE * long)
    assert inflated(deflated(whole), cut=cut) == whole


def test_it_may_become_just_as_much_as_was_said() -> None:
    data = deflated(bytes(300_000))
    assert len(inflated(data, most=300_000)) == 300_000
    with pytest.raises(RefusedError, match=r"more than 299999 bytes \(dicom.limits") as caught:
        inflated(data, most=299_999)
    assert caught.value.refusal is RefusalReason.TOO_LARGE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (deflated(b"a data set")[:-4], "is cut off"),
        (b"", "is cut off"),
        (b"\xff no stream", "not deflated"),
    ],
)
def test_what_is_no_such_stream_cannot_be_understood(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        inflated(data)
    assert caught.value.refusal is RefusalReason.CANNOT_UNDERSTAND


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_the_uids_of_a_deflated_data_set_are_known(cut: int) -> None:
    data = deflated(IDENTITY)
    head = Head(DEFLATED, 2**20)
    known = [head.add(memoryview(data)[at : at + cut]) for at in range(0, len(data), cut)]
    assert sum(known) == (
        cut == 100_000
    )  # in small pieces it is tried now and then, and at the end
    assert head.end().sop_instance_uid == raw.INSTANCE


def test_a_bomb_behind_the_uids_is_refused_as_well() -> None:
    data = deflated(IDENTITY + bytes(2**20))
    head = Head(DEFLATED, 2**20)
    with pytest.raises(RefusedError, match="deflated, and more than"):
        head.add(memoryview(data))


def both(tmp_path: Path, **more: str) -> list[Path]:
    image = an_image((a_picture() * 255).astype("u1"), {"StudyDate": "20261122", **more})
    syntaxes = {"plain": ExplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian}
    return [a_file(tmp_path / f"{name}.dcm", image, syntax) for name, syntax in syntaxes.items()]


def test_a_deflated_header_reads_like_any_other(tmp_path: Path) -> None:
    plain, packed = both(tmp_path)
    assert packed.stat().st_size < plain.stat().st_size
    assert describe(packed, KEYWORDS, 64) == describe(plain, KEYWORDS, 64)
    assert describe(packed, KEYWORDS, 64)["HasPixelData"] == "YES"


def test_no_more_of_a_deflated_file_is_inflated_than_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header, "_HEADER_AT_MOST", 100_000)
    image = an_image((a_picture() * 255).astype("u1"))
    image.PixelData = bytes(10_000_000)  # what follows the header is not looked at
    path = a_file(tmp_path / "a.dcm", image, DeflatedExplicitVRLittleEndian)
    assert describe(path, (), 64)["HasPixelData"] == "YES"
    image.TextValue = "long" * 50_000
    path = a_file(tmp_path / "b.dcm", image, DeflatedExplicitVRLittleEndian)
    with pytest.raises(UnreadableError, match="no pixel data in 100000 bytes, inflated"):
        describe(path, (), 64)


def test_a_deflated_file_that_is_cut_off_or_damaged_is_one_clear_line(tmp_path: Path) -> None:
    _, packed = both(tmp_path)
    data = packed.read_bytes()
    for broken, reason in ((data[:500], "cut off"), (data[:400] + b"\xff" * 200, "not deflated")):
        packed.write_bytes(broken)
        with pytest.raises(UnreadableError, match=reason) as caught:
            describe(packed, (), 64)
        assert "\n" not in str(caught.value)


def test_a_deflated_file_says_what_it_is_where_its_row_is_lost(tmp_path: Path) -> None:
    data = deflated(IDENTITY)
    path = tmp_path / "a.dcm"
    path.write_bytes(file_meta(raw.CT_IMAGE, raw.INSTANCE, DEFLATED, "CT1") + data)
    found = read_back(tmp_path, "a.dcm")
    assert (found.instance.sop_instance_uid, found.calling_ae) == (raw.INSTANCE, "CT1")
    assert pydicom.dcmread(path).SOPInstanceUID == raw.INSTANCE
