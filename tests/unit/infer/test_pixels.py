"""Stored pixels to values and pictures, by the rules of PS3.3 C.7.6.3, C.11.1 and C.11.2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from dicom_images import a_file, a_picture, an_image
from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.pixels import Decoded, decoded
from lightbox.infer.preprocess import model_input

MANY = 10**6
SPEC = Preprocessing(size=(32, 32), mean=(0.2,), std=(0.2,))
PICTURE = a_picture()
LEVELS = np.rint(PICTURE * 255)


def only(path: Path, most: int = MANY) -> Decoded:
    (frame,) = decoded(path, None, most)
    return frame


def a_table(descriptor: list[int], data: list[int]) -> Dataset:
    """Return an item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "US", data)
    return item


def stored_as(kind: str) -> Dataset:
    """The same picture in one of many ways."""
    unsigned, signed = LEVELS.astype(np.uint16), LEVELS.astype(np.int16)
    match kind:
        case "8 bit":
            return an_image(LEVELS.astype(np.uint8))
        case "8 bit with a window":
            return an_image(LEVELS.astype(np.uint8), {"WindowCenter": 40, "WindowWidth": 20})
        case "12 bit in 16":
            return an_image(16 * unsigned, bits=12)
        case "12 bit in 16 with an overlay above":
            return an_image(16 * unsigned + 0x8000, bits=12)
        case "16 bit with two windows":
            return an_image(257 * unsigned, {"WindowCenter": [9, 8], "WindowWidth": [7, 6]})
        case "signed":
            return an_image(128 * signed - 16384)
        case "rescaled":
            return an_image(unsigned, {"RescaleSlope": "2.5", "RescaleIntercept": "-1024"}, bits=12)
        case "MONOCHROME1":
            return an_image(4095 - 16 * unsigned, bits=12, photometric="MONOCHROME1")
        case "colour":
            return an_image(np.repeat(LEVELS.astype(np.uint8)[..., None], 3, 2), photometric="RGB")
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "8 bit with a window",
        "12 bit in 16",
        "12 bit in 16 with an overlay above",
        "16 bit with two windows",
        "signed",
        "rescaled",
        "MONOCHROME1",
        "colour",
    ],
)
def test_the_network_sees_the_same_picture_however_it_was_stored(tmp_path: Path, kind: str) -> None:
    reference = model_input(SPEC, only(a_file(tmp_path / "8.dcm", stored_as("8 bit"))).values)

    tensor = model_input(SPEC, only(a_file(tmp_path / "other.dcm", stored_as(kind))).values)

    np.testing.assert_allclose(tensor, reference, atol=1e-3)


def test_values_are_after_the_modality_lut(tmp_path: Path) -> None:
    frame = only(a_file(tmp_path / "a.dcm", stored_as("rescaled")))

    np.testing.assert_allclose(frame.values, 2.5 * LEVELS - 1024)


def test_a_modality_lut_sequence_is_looked_up(tmp_path: Path) -> None:
    table = a_table([256, 0, 16], [3 * i for i in range(256)])
    image = an_image(LEVELS.astype(np.uint8), {"ModalityLUTSequence": [table]})

    frame = only(a_file(tmp_path / "a.dcm", image))

    np.testing.assert_allclose(frame.values, 3 * LEVELS)


def displayed(tmp_path: Path, values: list[int], **attributes: object) -> list[int]:
    stored = np.resize(np.asarray(values, dtype=np.int16), (2, len(values)))
    return list(only(a_file(tmp_path / "a.dcm", an_image(stored, attributes))).picture[0])


def test_a_linear_window_is_that_of_the_standard(tmp_path: Path) -> None:
    """PS3.3 C.11.2.1.2.1: c = 2048, w = 4096 leaves 0..4095 as it is."""
    shown = displayed(tmp_path, [-5, 0, 2048, 4095, 5000], WindowCenter=2048, WindowWidth=4096)

    assert shown == [0, 0, 128, 255, 255]


def test_an_exact_window_and_a_sigmoid_are_told_apart(tmp_path: Path) -> None:
    window = {"WindowCenter": 100, "WindowWidth": 100}
    exact = displayed(tmp_path, [50, 75, 100, 150], **window, VOILUTFunction="LINEAR_EXACT")
    sigmoid = displayed(tmp_path, [50, 75, 100, 150], **window, VOILUTFunction="SIGMOID")

    assert exact == [0, 64, 128, 255]
    assert sigmoid == [round(255 / (1 + np.exp(-4 * t))) for t in (-0.5, -0.25, 0.0, 0.5)]


def test_a_voi_lut_goes_before_a_window(tmp_path: Path) -> None:
    voi = {"VOILUTSequence": [a_table([4, 10, 8], [0, 200, 100, 255])]}

    shown = displayed(tmp_path, [0, 10, 11, 12, 13, 99], **voi, WindowCenter=1, WindowWidth=2)

    assert shown == [0, 0, 200, 100, 255, 255]


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 30000, "WindowWidth": 10},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
    ids=["none", "no width", "beside the values", "empty"],
)
def test_without_a_usable_window_the_picture_is_stretched(
    tmp_path: Path, window: dict[str, object]
) -> None:
    shown = displayed(tmp_path, [0, 100, 200], **window)

    assert shown[0] == 0
    assert shown[2] == 255


def test_monochrome1_is_shown_inverted(tmp_path: Path) -> None:
    image = an_image(LEVELS.astype(np.uint8), {"WindowCenter": 128, "WindowWidth": 256})
    positive = only(a_file(tmp_path / "a.dcm", image)).picture
    image.PhotometricInterpretation = "MONOCHROME1"
    negative = only(a_file(tmp_path / "b.dcm", image)).picture

    np.testing.assert_array_equal(positive, 255 - negative)


def test_a_palette_becomes_colours(tmp_path: Path) -> None:
    image = an_image(np.array([[0, 1], [2, 1]], dtype=np.uint8), photometric="PALETTE COLOR")
    ramps = {"Red": [0, 0xFFFF, 0], "Green": [0, 0, 0xFFFF], "Blue": [0x8000, 0, 0]}
    for name, ramp in ramps.items():
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [3, 0, 16])
        data = np.array(ramp, dtype="<u2").tobytes()
        setattr(image, f"{name}PaletteColorLookupTableData", data)

    frame = only(a_file(tmp_path / "a.dcm", image))

    assert frame.picture[0].tolist() == [[0, 0, 128], [255, 0, 0]]
    assert frame.values.shape == (2, 2, 3)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    red = np.full((2, 2, 3), (76, 85, 255), dtype=np.uint8)

    frame = only(a_file(tmp_path / "a.dcm", an_image(red, photometric="YBR_FULL")))

    np.testing.assert_allclose(frame.picture[0, 0], (254, 0, 0), atol=1)


def a_stack() -> Dataset:
    """Three frames, each with its own rescaling, as enhanced objects have."""
    stack = np.stack([LEVELS, LEVELS, LEVELS + 1]).astype(np.uint16)
    image = an_image(stack)
    image.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(3)]
    for number, group in enumerate(image.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        item.RescaleSlope, item.RescaleIntercept = str(1 + number), "0"
        group.PixelValueTransformationSequence = [item]
    shared, measures, voi = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = ["0.5", "0.75"]
    voi.WindowCenter, voi.WindowWidth = "128", "256"
    shared.PixelMeasuresSequence, shared.FrameVOILUTSequence = [measures], [voi]
    image.SharedFunctionalGroupsSequence = [shared]
    return image


def test_each_frame_of_an_enhanced_object_has_its_own_rescaling(tmp_path: Path) -> None:
    frames = list(decoded(a_file(tmp_path / "a.dcm", a_stack()), None, MANY))

    assert [frame.number for frame in frames] == [1, 2, 3]
    np.testing.assert_allclose(frames[1].values, 2 * frames[0].values)
    np.testing.assert_allclose(frames[2].values, 3 * (frames[0].values + 1))
    assert {frame.spacing for frame in frames} == {(0.5, 0.75)}
    np.testing.assert_array_equal(frames[0].picture, LEVELS)


def test_only_the_frames_that_were_asked_for_are_decoded(tmp_path: Path) -> None:
    frames = list(decoded(a_file(tmp_path / "a.dcm", a_stack()), [3], MANY))

    assert [frame.number for frame in frames] == [3]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"PixelSpacing": ["0.5", "0.25"]}, (0.5, 0.25)),
        ({"ImagerPixelSpacing": ["0.2", "0.1"]}, (0.2, 0.1)),
        ({"PixelSpacing": ["0.5", "0.5"], "ImagerPixelSpacing": ["0.2", "0.2"]}, (0.5, 0.5)),
        ({"PixelSpacing": ["0", "0"]}, None),
        ({"PixelSpacing": ["-1", "1"], "ImagerPixelSpacing": ["0.2", "0.2"]}, (0.2, 0.2)),
        ({}, None),
    ],
)
def test_spacing_is_taken_where_it_is_positive(
    tmp_path: Path, attributes: dict[str, object], expected: tuple[float, float] | None
) -> None:
    image = an_image(LEVELS.astype(np.uint8), attributes)

    assert only(a_file(tmp_path / "a.dcm", image)).spacing == expected


def test_a_deflated_file_and_a_compressed_one_are_the_same_picture(tmp_path: Path) -> None:
    image = stored_as("12 bit in 16")
    plain = only(a_file(tmp_path / "a.dcm", image)).values
    deflated = only(a_file(tmp_path / "b.dcm", image, DeflatedExplicitVRLittleEndian)).values
    compressed = dcmread(tmp_path / "a.dcm")
    compressed.compress(RLELossless)
    compressed.save_as(tmp_path / "c.dcm")

    np.testing.assert_array_equal(plain, deflated)
    np.testing.assert_array_equal(plain, only(tmp_path / "c.dcm").values)


def test_too_many_samples_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = a_file(tmp_path / "a.dcm", stored_as("8 bit"))
    most = LEVELS.size

    assert only(path, most).values.size == most
    with pytest.raises(UnreadableError, match=f"60 x 44 x 1 samples, {most - 1} are allowed"):
        only(path, most - 1)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    report = stored_as("8 bit")
    del report.Rows
    (tmp_path / "text.dcm").write_text("no DICOM")

    with pytest.raises(UnreadableError, match="has no Rows or Columns"):
        only(a_file(tmp_path / "a.dcm", report))
    with pytest.raises(UnreadableError, match=r"text\.dcm: is not a DICOM file"):
        only(tmp_path / "text.dcm")


def test_a_frame_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = a_file(tmp_path / "a.dcm", a_stack())

    with pytest.raises(UnreadableError, match="has 3 frames, frame 4 was asked for"):
        list(decoded(path, [4], MANY))


def test_a_number_of_frames_that_no_file_can_hold_is_refused_before_it_is_counted(
    tmp_path: Path,
) -> None:
    path = a_file(tmp_path / "many.dcm", an_image(np.zeros((2, 8, 8), np.uint8)))
    lying = dcmread(path)
    lying.NumberOfFrames = 2**31 - 1
    lying.save_as(path)
    with pytest.raises(UnreadableError, match="it has 2147483647 frames, which it cannot hold"):
        next(decoded(path, None, 2**20))
