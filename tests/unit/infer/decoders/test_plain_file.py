"""A plain file read by stepping over most of it says what pydicom says; what is odd is left to it."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_images import an_image
from lightbox.infer import pixels
from lightbox.infer.decoders.plain_file import plain_image, says_plain

DRAWN = np.random.default_rng(3).integers(0, 2**16, (6, 5)).astype(np.uint16)
OTHERS = Path(__file__).parents[4] / "../shared/data/dicom"
MOST = 2**26
MORE = {
    "PatientName": "Somebody^Else",
    "PixelSpacing": [0.5, 0.25],
    "WindowCenter": [40, 50],
    "WindowWidth": [400, 500],
    "RescaleSlope": "2",
    "NominalScannedPixelSpacing": [1, 2],
    "VOILUTFunction": "",
    "NumberOfFrames": "1",
}


def a_file(image: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a whole file; sequences of undefined length are written so."""
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(syntax)
    stream = io.BytesIO()
    implicit = syntax == ImplicitVRLittleEndian
    image.save_as(stream, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
    return stream.getvalue()


def an_odd_one(image: Dataset, *, length: bool) -> Dataset:
    image.ReferencedImageSequence = Sequence([Dataset()])
    image["ReferencedImageSequence"].is_undefined_length = length
    return image


@pytest.mark.parametrize(
    "image",
    [
        an_image(DRAWN, MORE),
        an_image(DRAWN, MORE, bits=12),
        an_image(DRAWN.view(np.int16), MORE, bits=9),
        an_image(DRAWN.astype(np.uint8), MORE),
        an_image(DRAWN.astype(np.uint8)[:5], MORE, bits=7),
        an_image(DRAWN, MORE, photometric="MONOCHROME1"),
        an_odd_one(an_image(DRAWN, MORE), length=False),
    ],
    ids=["16", "12 of 16", "9 of 16, signed", "8", "7 of 8, odd length", "inverse", "sequence"],
)
def test_header_and_samples_are_pydicoms(image: Dataset) -> None:
    data = a_file(image)
    whole, found = dcmread(io.BytesIO(data)), plain_image(data)

    assert says_plain(data[:1024])
    assert found is not None
    assert "PatientName" not in found.header
    assert found.header.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert {e.tag for e in found.header} == {
        e.tag for e in whole if e.tag.group == 0x28 or "Spacing" in e.keyword
    }
    for element in found.header:
        assert element == whole[element.tag]
    assert found.stored is not None
    expected = whole.pixel_array
    assert found.stored.dtype == expected.dtype
    assert np.array_equal(found.stored, expected)


@pytest.mark.parametrize(
    "image",
    [
        an_image(np.repeat(DRAWN.astype(np.uint8)[..., None], 3, 2), photometric="RGB"),
        an_image(DRAWN.astype(np.uint32)),
        an_image(DRAWN, {"PixelRepresentation": 2}),
        an_image(DRAWN, {"BitsStored": 17}),
        an_image(DRAWN, {"Rows": 7}),
        an_image(DRAWN, {"Rows": [6, 6]}),
        an_image(DRAWN, {"Rows": 0}),
    ],
    ids=["colour", "32 bits", "no sign", "17 of 16", "too short", "two numbers", "no rows"],
)
def test_other_samples_are_pydicoms_to_make(image: Dataset) -> None:
    data = a_file(image)
    found = plain_image(data)
    assert found is not None
    assert found.stored is None
    assert found.header["PixelData"] == dcmread(io.BytesIO(data))["PixelData"]


def cut(data: bytes) -> bytes:
    return data[:-2]


def with_more(data: bytes) -> bytes:
    return data + b"\0\0"


def out_of_order(data: bytes) -> bytes:
    return data.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x12\x00US")


def of_no_kind(data: bytes) -> bytes:
    return data.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00??")


def without_meta_length(data: bytes) -> bytes:
    return data[:132] + data[144:]


def with_a_wrong_meta_length(data: bytes) -> bytes:
    return (
        data[:140]
        + (int.from_bytes(data[140:144], "little") + 8).to_bytes(4, "little")
        + data[144:]
    )


@pytest.mark.parametrize(
    "spoilt",
    [cut, with_more, out_of_order, of_no_kind, without_meta_length, with_a_wrong_meta_length],
)
def test_what_is_not_regular_is_left_to_pydicom(spoilt: Callable[[bytes], bytes]) -> None:
    data = a_file(an_image(DRAWN, MORE))
    assert spoilt(data) != data
    assert plain_image(spoilt(data)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 128 + b"DICM",
        a_file(an_image(DRAWN), ImplicitVRLittleEndian),
        a_file(an_image(np.stack([DRAWN] * 2))),
        a_file(an_odd_one(an_image(DRAWN), length=True)),
    ],
    ids=["nothing", "a prefix", "implicit", "two frames", "undefined length"],
)
def test_another_kind_of_file_is_left_to_pydicom(data: bytes) -> None:
    assert plain_image(data) is None


def test_a_compressed_file_is_not_taken_for_a_plain_one() -> None:
    image = dcmread(io.BytesIO(a_file(an_image(DRAWN))))
    image.compress(RLELossless)
    stream = io.BytesIO()
    image.save_as(stream)
    assert not says_plain(stream.getvalue()[:1024])
    assert plain_image(stream.getvalue()) is None


def test_no_damage_makes_it_fail() -> None:
    """Any byte may be wrong: either it is left to pydicom, or there is a header."""
    data = a_file(an_image(DRAWN, MORE))
    draw = np.random.default_rng(5)
    taken = 0
    for _ in range(2000):
        damaged = bytearray(data)
        for place in draw.integers(128, len(data), 3):
            damaged[place] = draw.integers(256)
        found = plain_image(bytes(damaged))
        taken += found is not None
    assert 0 < taken < 2000


@pytest.mark.slow
@pytest.mark.skipif(not OTHERS.is_dir(), reason=f"{OTHERS} is not there")
def test_every_file_of_other_people_has_the_same_bits_either_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [file for file in sorted(OTHERS.rglob("*")) if file.is_file()]
    by_steps = [seen_of(file) for file in files]
    monkeypatch.setattr(pixels, "plain_image", lambda _: None)
    assert [f for f, seen in zip(files, by_steps, strict=True) if seen != seen_of(f)] == []


def seen_of(file: Path) -> list[object]:
    """Return what decoding makes of the first frames of a file, or what it says of it."""
    try:
        frames = islice(pixels.decoded(file, None, MOST), 3)
        return [(f.number, f.values.tobytes(), f.spacing, f.picture.tobytes()) for f in frames]
    except Exception as error:  # noqa: BLE001  # decoders raise anything at all
        return [type(error), str(error)]
