"""From a stored pixel to the map and back: a blob of one pixel is found in its corner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from dicom_images import a_file, an_image
from fakes.clock import FakeClock
from lightbox.app.catalogue import methods
from lightbox.domain.arrays import FloatMap
from lightbox.domain.frame import Frame
from lightbox.domain.prediction import Prediction
from lightbox.explain.attribute import Attribute
from lightbox.explain.subject import Subject
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.packages import CARD, MANIFEST, WEIGHTS, LoadedPackage, load
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import AuditSettings
from networks import a_graph
from packages import a_manifest

SIZE = 32
SOURCES = [(31, 45), (45, 31), (17, 63)]
CORNERS = [(0, 0), (0, -1), (-1, 0), (-1, -1)]


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(processes=1) as one:
        yield one


@pytest.fixture(scope="module", params=["pad", "stretch"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LoadedPackage:
    """A network whose map is its input: brightness speaks for the third class."""
    nodes = [
        helper.make_node("Relu", ["image"], ["layer"]),
        helper.make_node("GlobalAveragePool", ["layer"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"]),
    ]
    matrix = np.array([[-1.0, 0.0, 1.0]], np.float32)
    weights = a_graph(
        nodes, {"matrix": matrix}, image=("batch", 1, SIZE, SIZE), logits=("batch", 3)
    )
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(weights)
    manifest = a_manifest(weights, size=SIZE)
    (folder / MANIFEST).write_text(
        manifest.replace("channels = 1", f'channels = 1\nfit = "{request.param}"')
    )
    (folder / CARD).write_text("# Brightness\n")
    return load(folder)


@cache
def opened(folder: Path) -> OnnxRuntime:
    return OnnxRuntime(load(folder), "cpu", 1)


def the_map(loaded: LoadedPackage, frame: Frame) -> FloatMap:
    package = loaded.package
    output = opened(loaded.folder).predict(frame.tensor)
    prediction = Prediction(
        package.name, package.version, package.sha256, "tumour", 0.9, {}, 2, frame.ref
    )
    door = Attribute(methods(), AuditSettings(), FakeClock())
    found = door.fast(Subject(package, frame, prediction), output)
    assert found.cell_pixels[0] <= max(frame.picture.shape) / SIZE
    return found.source_map


def blob(source: tuple[int, int], corner: tuple[int, int], photometric: str) -> np.ndarray:
    stored = np.full(source, 20, np.uint8)
    stored[corner] = 220
    return 255 - stored if photometric == "MONOCHROME1" else stored


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_blob_of_one_pixel_is_found_in_its_corner(
    loaded: LoadedPackage,
    pool: DecodePool,
    tmp_path: Path,
    source: tuple[int, int],
    corner: tuple[int, int],
    photometric: str,
) -> None:
    image = an_image(blob(source, corner, photometric), photometric=photometric)
    path = a_file(tmp_path / "one.dcm", image)
    with closing(pool.frames(FramesRequest(str(path), "", loaded.package.preprocessing))) as frames:
        source_map = the_map(loaded, next(frames))

    assert source_map.shape == source
    row, column = np.unravel_index(int(source_map.argmax()), source)
    cell = max(source) / SIZE
    assert abs(row - corner[0] % source[0]) <= cell
    assert abs(column - corner[1] % source[1]) <= cell


@pytest.mark.parametrize("corner", CORNERS)
def test_in_a_multi_frame_image_the_map_is_of_the_frame_that_is_named(
    loaded: LoadedPackage, pool: DecodePool, tmp_path: Path, corner: tuple[int, int]
) -> None:
    others = [blob((31, 45), (15, 22), "MONOCHROME2")] * 2
    stored = np.stack([others[0], blob((31, 45), corner, "MONOCHROME2"), others[1]])
    path = a_file(tmp_path / "many.dcm", an_image(stored))
    request = FramesRequest(str(path), "", loaded.package.preprocessing, (2,))
    with closing(pool.frames(request)) as frames:
        frame = next(frames)

    assert frame.ref.frame == 2
    row, column = np.unravel_index(int(the_map(loaded, frame).argmax()), (31, 45))
    assert abs(row - corner[0] % 31) <= 45 / SIZE
    assert abs(column - corner[1] % 45) <= 45 / SIZE
