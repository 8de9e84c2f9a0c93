"""A decoder that is wrong raises no error; two that differ are found out.

The stream is the one that a decoder of ours gets wrong: differences that wrap around (ITU-T T.81
H.2.1), as ultrasound machines of two makers write them; pylibjpeg-libjpeg clamps them (its issue
90). GDCM is right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    AllTransferSyntaxes,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_images import a_file, a_picture, an_image
from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.decoders.second_opinion import DecodersDifferError, SecondOpinion

LEVELS = np.rint(a_picture() * 255).astype(np.uint8)
LOUD = np.tile(np.array([52, 128], np.uint8), (16, 8))
MAKER = "Maker"


def lossless_jpeg(levels: np.ndarray, *, wraps: bool) -> bytes:
    """Encode by JPEG Lossless, first order prediction (T.81 H); both ways mean the same pixels.

    Parameters
    ----------
    wraps : bool
        Whether rises of more than 60 are written as falls, modulo 256.
    """
    bits = []
    for row in range(levels.shape[0]):
        for column in range(levels.shape[1]):
            if column:
                expected = int(levels[row, column - 1])
            else:
                expected = int(levels[row - 1, 0]) if row else 128
            difference = int(levels[row, column]) - expected
            if wraps and difference > 60:
                difference -= 256
            size = abs(difference).bit_length()
            bits.append(f"{size:05b}")
            if size:
                low = difference if difference > 0 else difference + 2**size - 1
                bits.append(f"{low:0{size}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    rows, columns = levels.shape
    huffman = bytes([0, *(17 if length == 5 else 0 for length in range(1, 17)), *range(17)])
    frame = struct.pack(">BHHBBBB", 8, rows, columns, 1, 1, 0x11, 0)
    scan = bytes([1, 1, 0x00, 1, 0, 0])
    segments = ((0xC3, frame), (0xC4, huffman), (0xDA, scan))
    head = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    return b"\xff\xd8" + head + data.replace(b"\xff", b"\xff\x00") + b"\xff\xd9"


def a_jpeg(folder: Path, *, wraps: bool, maker: str = MAKER, name: str = "image.dcm") -> Path:
    image = an_image(LOUD, {"Manufacturer": maker})
    image.PixelData = encapsulate([lossless_jpeg(LOUD, wraps=wraps)])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    return a_file(folder / name, image, JPEGLosslessSV1)


def look(opinions: SecondOpinion, path: Path) -> None:
    opinions.check(path, dcmread(path, stop_before_pixels=True), 1)


def compressed(folder: Path, syntax: str) -> Path:
    image = dcmread(a_file(folder / "plain.dcm", an_image(LEVELS, {"Manufacturer": MAKER})))
    image.compress(syntax)
    image.save_as(folder / "compressed.dcm")
    return folder / "compressed.dcm"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_decoders_that_agree_are_believed(tmp_path: Path, syntax: str) -> None:
    assert len(get_decoder(syntax).available_plugins) > 1
    look(SecondOpinion(), compressed(tmp_path, syntax))


def test_what_is_not_compressed_is_not_compared(tmp_path: Path) -> None:
    look(SecondOpinion(), a_file(tmp_path / "plain.dcm", an_image(LEVELS)))


def test_a_decoder_that_is_wrong_is_found_out_by_another(tmp_path: Path) -> None:
    with pytest.raises(DecodersDifferError, match=r"gdcm and pylibjpeg in .* of 256") as met:
        look(SecondOpinion(), a_jpeg(tmp_path, wraps=True))
    assert "MAKER" in met.value.combination.words
    assert "JPEG Lossless" in met.value.combination.words


def test_a_combination_is_compared_once_and_after_a_difference_always(tmp_path: Path) -> None:
    opinions = SecondOpinion()
    good, bad = (a_jpeg(tmp_path, wraps=w, name=f"{w}.dcm") for w in (False, True))
    look(opinions, good)
    look(opinions, bad)  # not the first sight: this is the price
    other_good = a_jpeg(tmp_path, wraps=False, maker="Other", name="other.dcm")
    other_bad = a_jpeg(tmp_path, wraps=True, maker="Other", name="other bad.dcm")
    for _ in range(2):
        with pytest.raises(DecodersDifferError):
            look(opinions, other_bad)
        look(opinions, other_good)


def test_a_header_without_a_sane_manufacturer_is_a_combination_too(tmp_path: Path) -> None:
    path = a_jpeg(tmp_path, wraps=True)
    image: Dataset = dcmread(path)
    image.Manufacturer = "x" * 60 + "\x1b[7"
    with pytest.raises(DecodersDifferError) as met:
        SecondOpinion().check(path, image, 1)
    assert met.value.combination.words.isprintable()
    assert len(met.value.combination.manufacturer) <= 40


def test_every_syntax_but_the_newest_has_two_decoders() -> None:
    alone = set()
    for syntax in AllTransferSyntaxes:
        try:
            plugins = get_decoder(syntax).available_plugins
        except NotImplementedError:
            continue
        if syntax.is_encapsulated and len(plugins) < 2:
            alone.add(syntax)
    assert alone == {HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL}


class Told:
    """Who hears of combinations that decoders differ about."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def say(self, combination: str, words: str) -> None:
        self.of[combination] = words


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def pool(told: Told) -> Iterator[DecodePool]:
    with DecodePool(processes=1, differ=told.say) as one:
        yield one


def test_a_decoding_child_refuses_such_an_image_says_so_and_goes_on(
    pool: DecodePool, told: Told, tmp_path: Path
) -> None:
    def frames(path: Path) -> int:
        with closing(
            pool.frames(FramesRequest(str(path), "1.2.3", Preprocessing(size=(16, 16))))
        ) as each:
            return len(list(each))

    with pytest.raises(UnreadableError, match="two decoders differ"):
        frames(a_jpeg(tmp_path, wraps=True))
    (combination,) = told.of
    assert combination.startswith("MAKER, JPEG Lossless")
    assert combination.endswith("8 of 8 bits")
    assert frames(a_jpeg(tmp_path, wraps=False)) == 1
