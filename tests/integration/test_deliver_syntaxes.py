"""Transfer syntaxes towards real peers: pictures compressed without loss where that is taken."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from builders import a_result_file
from lightbox.deliver.cstore import CStore
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.result import Result, ResultKind
from lightbox.settings import DestinationSettings
from lightbox.tools.archive import Archive, Reply
from lightbox.tools.orthanc import Orthanc, free_port, is_installed


def a_picture(root: Path, name: str = "1") -> Result:
    """Write a colour picture of 64 x 48 with text-like edges and a gradient."""
    result = a_result_file(root, name)
    path = root / result.path
    header = dcmread(path)
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 0] = np.arange(64)
    pixels[10:20, 5:50] = (250, 10, 10)
    pixels[30:32] = np.random.default_rng(7).integers(0, 255, (2, 64, 3))
    header.Rows, header.Columns, header.SamplesPerPixel = 48, 64, 3
    header.PhotometricInterpretation, header.PlanarConfiguration = "RGB", 0
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = pixels.tobytes()
    header["PixelData"].VR = "OB"
    header.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    return replace(result, sha256=sha256(data).hexdigest(), size_bytes=len(data))


def to(port: int, ae_title: str, root: Path, *syntaxes: str) -> CStore:
    given = {"name": "pacs", "ae_title": ae_title, "port": port}
    settings = DestinationSettings.model_validate(
        given | ({"syntaxes": syntaxes} if syntaxes else {})
    )
    return CStore(settings, "LIGHTBOX", root)


def same_picture(file: Path, root: Path, result: Result) -> None:
    theirs, ours = dcmread(file), dcmread(root / result.path)
    assert theirs.SOPInstanceUID == ours.SOPInstanceUID
    assert theirs.PhotometricInterpretation == "RGB"
    assert "LossyImageCompression" not in theirs
    assert np.array_equal(theirs.pixel_array, ours.pixel_array)


@pytest.mark.parametrize(
    ("accepted", "preferred", "sent"),
    [
        ((JPEGLSLossless,), ("explicit", "jpeg_ls"), JPEGLSLossless),  # it takes only that
        ((RLELossless,), ("jpeg_ls", "rle"), RLELossless),
        ((ExplicitVRLittleEndian, RLELossless), ("rle", "explicit"), RLELossless),
        ((ExplicitVRLittleEndian, RLELossless), ("explicit", "rle"), ExplicitVRLittleEndian),
        ((ExplicitVRLittleEndian,), ("rle", "jpeg_ls"), ExplicitVRLittleEndian),  # falls back
        ((ImplicitVRLittleEndian, ExplicitVRLittleEndian), ("implicit",), ImplicitVRLittleEndian),
        ((ImplicitVRLittleEndian,), (), ImplicitVRLittleEndian),
    ],
)
def test_a_picture_goes_out_in_the_first_syntax_that_is_preferred_and_accepted(
    tmp_path: Path, accepted: tuple[str, ...], preferred: tuple[str, ...], sent: str
) -> None:
    result = a_picture(tmp_path)
    with Archive(tmp_path / "archive", syntaxes=accepted) as archive:
        destination = to(archive.dicom_port, "ARCHIVE", tmp_path, *preferred)
        assert destination.send(result) == ""
        destination.close()
    (file,) = (tmp_path / "archive").glob("*.dcm")
    assert dcmread(file).file_meta.TransferSyntaxUID == sent
    same_picture(file, tmp_path, result)


def test_a_picture_sent_again_has_the_same_bytes(tmp_path: Path) -> None:
    result = a_picture(tmp_path)
    with Archive(tmp_path / "archive") as archive:
        destination = to(archive.dicom_port, "ARCHIVE", tmp_path, "jpeg_ls")
        kept = []
        for _ in range(2):
            destination.send(result)
            kept.append(archive.file(result.sop_instance_uid))
        destination.close()
    assert kept[0] == kept[1]


def test_only_pictures_are_compressed(tmp_path: Path) -> None:
    result = a_result_file(tmp_path, kind=ResultKind.SEGMENTATION)
    with Archive(tmp_path / "archive") as archive:
        destination = to(archive.dicom_port, "ARCHIVE", tmp_path, "rle", "jpeg_ls")
        destination.send(result)
        destination.close()
    (file,) = (tmp_path / "archive").glob("*.dcm")
    assert dcmread(file).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_a_compressed_picture_that_is_refused_after_all_goes_out_uncompressed(
    tmp_path: Path,
) -> None:
    result = a_picture(tmp_path)
    with Archive(tmp_path / "archive") as archive:
        archive.script(Reply(0x0122))
        destination = to(archive.dicom_port, "ARCHIVE", tmp_path, "rle")
        assert destination.send(result) == ""
        archive.script(Reply(0x0122), Reply(0x0122))
        with pytest.raises(DestinationError) as caught:
            destination.send(result)
        destination.close()
        assert caught.value.action is Action.NOT_TAKEN
        assert len(archive.received) == 4
    (file,) = (tmp_path / "archive").glob("*.dcm")
    assert dcmread(file).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_a_picture_without_pixels_is_sent_as_it_is(tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    with Archive(tmp_path / "archive") as archive:
        destination = to(archive.dicom_port, "ARCHIVE", tmp_path, "rle")
        assert destination.send(result) == ""
        destination.close()


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    port = free_port()
    command = ["storescp", *options, "+B", "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        pause = threading.Event()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            pause.wait(0.05)
        yield port
        process.terminate()


@pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(
    ("option", "wanted", "syntax"),
    [("+xr", "rle", RLELossless), ("+xt", "jpeg_ls", JPEGLSLossless)],
)
def test_dcmtk_gets_what_it_prefers_and_reads_the_same_pixels(
    tmp_path: Path, option: str, wanted: str, syntax: str
) -> None:
    result, got = a_picture(tmp_path), tmp_path / "got"
    got.mkdir()
    with storescp(got, option) as port:
        destination = to(port, "STORESCP", tmp_path, wanted, "explicit")
        assert destination.send(result) == ""
        destination.close()
    (file,) = got.iterdir()
    assert dcmread(file).file_meta.TransferSyntaxUID == syntax
    plain = tmp_path / "plain.dcm"
    decoder = {"rle": "dcmdrle", "jpeg_ls": "dcmdjpls"}[wanted]
    subprocess.run([decoder, str(file), str(plain)], check=True, capture_output=True)
    same_picture(plain, tmp_path, result)


@pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")
def test_orthanc_takes_compressed_pictures_by_dimse_and_by_stow(tmp_path: Path) -> None:
    from lightbox.deliver.stow import Stow

    with Orthanc(tmp_path / "orthanc") as orthanc:
        by_dimse, by_web = a_picture(tmp_path, "1"), a_picture(tmp_path, "2")
        first = to(orthanc.dicom_port, "ORTHANC", tmp_path, "jpeg_ls")
        assert first.send(by_dimse) == ""
        first.close()
        sent = [by_dimse]
        if orthanc.stow_url:
            given = {"name": "pacs", "stow": orthanc.stow_url, "syntaxes": ["rle"]}
            second = Stow(DestinationSettings.model_validate(given), tmp_path)
            assert second.send(by_web) == ""
            second.close()
            sent.append(by_web)
        for result, syntax in zip(sent, (JPEGLSLossless, RLELossless), strict=False):
            file = tmp_path / "held.dcm"
            file.write_bytes(orthanc.file(result.sop_instance_uid))
            assert dcmread(file).file_meta.TransferSyntaxUID == syntax
            same_picture(file, tmp_path, result)
