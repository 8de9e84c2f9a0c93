"""Decoded pixels against DCMTK's, and a table of every file: decoded, or refused for a reason.

The files are public ones of many makers and syntaxes (``../shared/data/dicom``).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.pixels import Decoded, decoded

ROOT = Path("../shared/data/dicom")
SPEC = Preprocessing(size=(64, 64))
MOST = 2**28
JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
LOSSY_JPEG = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
"""Decoders may differ: the standard bounds the error of the inverse transform only."""

REFUSED = {
    "is not a DICOM file": "not PS3.10",
    "is not an image": "report, plan, directory",
    "no pixel data to decode": "an image header alone",
    "JPEG Full Progression": "retired syntax 1.2.840.10008.1.2.4.55",
    "JPEG Spectral Selection": "retired syntax 1.2.840.10008.1.2.4.53",
    "UID is not a transfer syntax": "deflated frames: newer than the decoders",
    "RLE encoded pixel data with 1 bits allocated": "against PS3.5 8.2.2",
    "cannot reshape array": "cut off",
    "bytes of pixel data is less than expected": "cut off, of one plain frame",
    "invalid literal for int()": "text where a number must be",
    "JPEG Extended": "12 bit JPEG that no decoder here takes",
    "failed to read the header": "its codestream holds a delimiter",
}
"""Part of the refusal → why that is right."""

pytestmark = [
    pytest.mark.skipif(not ROOT.is_dir(), reason="needs the DICOM files of ../shared/data"),
    pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="dcmtk is not installed"),
    # These files hold the small sins of real scanners; that is what they are for.
    pytest.mark.filterwarnings("ignore"),
]


def files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*") if path.is_file() and path.suffix != ".csv")


def one_of_each_kind() -> Iterator[Path]:
    """One file per folder, transfer syntax and kind of picture."""
    seen = set()
    for path in files():
        header = dcmread(path, stop_before_pixels=True, force=True)
        meta = getattr(header, "file_meta", Dataset())
        if "Rows" not in header or "TransferSyntaxUID" not in meta:
            continue
        kind = (
            path.parent,
            meta.TransferSyntaxUID,
            header.get("PhotometricInterpretation"),
            header.get("BitsStored"),
            header.get("PixelRepresentation"),
        )
        if kind not in seen:
            seen.add(kind)
            yield path


def dcmtk(path: Path, *options: str) -> np.ndarray | None:
    """Return DCMTK's picture of the first frame, or None where it cannot read the file."""
    syntax = dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    tool = "dcml2pnm" if syntax in JPEG_LS else "dcmj2pnm"
    done = subprocess.run([tool, "-q", "-O", *options, str(path)], capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        return None
    lines = [line for line in done.stdout.split(b"\n") if not line.startswith(b"#")]
    columns, rows, _, *samples = b" ".join(lines[1:]).split()
    shape = (int(rows), int(columns), 3) if lines[0].strip() == b"P3" else (int(rows), int(columns))
    return np.array(samples, dtype=np.int64).reshape(shape)


def unit(values: np.ndarray) -> np.ndarray:
    """Scale to 0..1 between the ends."""
    spread: np.ndarray = (values - values.min()) / max(float(np.ptp(values)), 1e-9)
    return spread


def test_values_and_pictures_are_those_of_dcmtk() -> None:
    compared, apart = 0, []
    for path in one_of_each_kind():
        try:
            ours = next(decoded(path, [1], MOST))
        except Exception:  # noqa: BLE001  # the table below is about those
            continue
        theirs = dcmtk(path, "+Wm", "+opw")
        if theirs is None:
            continue
        compared += 1
        apart += [f"{path.relative_to(ROOT)}: {what}" for what in differences(path, ours, theirs)]
    assert apart == []
    assert compared >= 60


def differences(path: Path, ours: Decoded, theirs: np.ndarray) -> Iterator[str]:
    header = dcmread(path, stop_before_pixels=True)
    lossy = header.file_meta.TransferSyntaxUID in LOSSY_JPEG
    if ours.values.ndim == 3:
        colours = dcmtk(path, "+opb")
        assert colours is not None
        worst = np.abs(colours - ours.picture).max()
        if worst > (3 if lossy else 1):
            yield f"colours differ by {worst}"
        return
    # DCMTK keeps rescaled values as whole numbers: two of them, and its 16 bits of output.
    rescaled = 2 / max(float(np.ptp(ours.values)), 1e-9) if "RescaleSlope" in header else 0
    bound = 0.005 if lossy else rescaled + 1.5 / 65535
    worst = np.abs(unit(ours.values.astype(np.float64)) - unit(theirs)).max()
    if worst > bound:
        yield f"values differ by {worst:.2g} of their range, {bound:.2g} allowed"
    yield from window_differences(path, header, ours.picture, 3 if lossy else 1)


def window_differences(
    path: Path, header: Dataset, picture: np.ndarray, most: int
) -> Iterator[str]:
    if "WindowWidth" not in header or header.get_item("WindowWidth").VR == "UN":
        return  # DCMTK does not read UN
    width = getattr(header, "WindowWidth", None)
    if not width or float(np.atleast_1d(width)[0]) < 1:  # against PS3.3 C.11.2.1.2
        return
    shown = dcmtk(path, "+Wi", "1", "+opb")
    assert shown is not None
    worst = np.abs(shown - picture).max()
    if worst > most:
        yield f"pictures differ by {worst} grey levels"


def test_every_file_is_decoded_or_refused_for_a_known_reason() -> None:
    table: dict[str, str] = {}
    with DecodePool(processes=1) as pool:
        for path in files():
            request = FramesRequest(str(path), "1.2.3", SPEC, (1,))
            try:
                with closing(pool.frames(request)) as frames:
                    frame = next(frames)
                    assert list(frames) == []
                assert np.isfinite(frame.tensor).all()
                table[str(path.relative_to(ROOT))] = "decoded"
            except UnreadableError as error:
                table[str(path.relative_to(ROOT))] = str(error)

    unknown = {
        name: said
        for name, said in table.items()
        if said != "decoded" and not any(part in said for part in REFUSED)
    }
    assert unknown == {}
    assert sum(said == "decoded" for said in table.values()) >= 340
