"""A model whose maps miss the lesion is marked, and sends no map unless the site insists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_images import a_file, a_picture, an_image
from lightbox.app.build import at_site_of
from lightbox.cli.main import run
from lightbox.domain.model_package import Measured
from lightbox.infer.packages import MANIFEST, load
from lightbox.settings import ModelOverride
from lightbox.tools.localisation import Overlap, localisation_line, mark
from packages import a_package_folder

LEVELS = (a_picture() * 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with four samples whose masks lie where the network does not look."""
    file = tmp_path / "lightbox.toml"
    file.write_text('data_dir = "data"\n[worker]\nthreads = 1\n[models]\npath = "models"\n')
    monkeypatch.setenv("LIGHTBOX_CONFIG", str(file))
    folder = a_package_folder(tmp_path / "models")
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace("negative = true", "negative = false"))
    for number in range(4):
        image = an_image(np.roll(LEVELS, 3 * number, 1), {"InstanceNumber": number})
        image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
        a_file(folder / "samples" / f"{number}.dcm", image)
        mask = np.zeros(LEVELS.shape, dtype=np.uint8)
        mask[-2:, -2:] = 255  # a corner of two by two pixels
        Image.fromarray(mask).save(folder / "samples" / f"{number}.mask.png")
    return folder


def answers(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    run(["models", "check", str(folder), *options, "--json"])
    told = json.loads(capsys.readouterr().out)["checks"]
    return {each["question"]: f"{each['passed']} {each['answer']}" for each in told}


def explained(folder: Path, tmp_path: Path) -> dict[str, str]:
    answer = tmp_path / "answer.json"
    arguments = ["--model", "small", "--out", str(tmp_path / "out"), "--json", str(answer)]
    assert run(["explain", str(folder / "samples" / "0.dcm"), *arguments]) == 0
    (found,) = json.loads(answer.read_text())
    files: dict[str, str] = found["files"]
    return files


def test_maps_that_miss_are_told_marked_and_not_sent_unless_the_site_insists(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "seg" in explained(folder, tmp_path)
    (folder / "expected.json").unlink()
    capsys.readouterr()
    marked = answers(folder, capsys, "--write-expected")["localisation"]
    assert marked.startswith("True no map is sent: its maps miss the lesion: their maximum lies")
    assert "0% of 4 images" in marked
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace("not_shown = ", "# not_shown = "))
    unmarked = answers(folder, capsys)["localisation"]
    assert unmarked.startswith("False its maps miss the lesion")
    assert "--write-expected" in unmarked
    (folder / MANIFEST).write_text(text)

    files = explained(folder, tmp_path)
    assert "seg" not in files
    assert {"sc", "sr", "npz"} <= set(files)
    with np.load(files["npz"]) as arrays:  # whoever asks for the numbers gets them
        assert arrays["attribution"].any()
    config = tmp_path / "lightbox.toml"
    config.write_text(config.read_text() + '[models.small]\nmaps = "always"\n')
    assert "seg" in explained(folder, tmp_path)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [(b"no picture", "mask.png"), (b"", "mask of .*0.dcm.* 4 x 4 pixels, the image has 60 x 44")],
)
def test_a_mask_that_is_no_picture_of_its_image_s_size_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], mask: bytes, reason: str
) -> None:
    drawn = folder / "samples" / "0.mask.png"
    if mask:
        drawn.write_bytes(mask)
    else:
        Image.fromarray(np.full((4, 4), 255, np.uint8)).save(drawn)
    capsys.readouterr()
    assert run(["models", "check", str(folder), "--write-expected"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(reason, line)


def test_the_mark_is_written_once_and_taken_away(folder: Path) -> None:
    before = (folder / MANIFEST).read_text()
    mark(folder, "its maps miss the lesion: one")
    mark(folder, "its maps miss the lesion: two")
    assert load(folder).package.explanation.not_shown == "its maps miss the lesion: two"
    assert not load(folder).package.site_shows_all_maps
    assert at_site_of(load(folder), ModelOverride(maps="always")).package.site_shows_all_maps
    mark(folder, "")
    assert (folder / MANIFEST).read_text().split() == [*before.split(), "[explanation]"]


@pytest.mark.parametrize(
    ("overlap", "is_fit"),
    [
        (Overlap(12, 0.9, 0.6, 0.02), True),
        (Overlap(12, 0.4, 0.6, 0.02), False),  # the maximum is elsewhere in most
        (Overlap(12, 0.9, 0.03, 0.02), False),  # hardly more in it than by chance
        (Overlap(12, 0.6, 0.55, 0.4), True),  # a lesion that is two fifths of the image
        (Overlap(3, 0.0, 0.0, 0.02), True),  # too few to say
        (Overlap(0), True),
    ],
)
def test_a_map_misses_where_most_maxima_lie_elsewhere_or_it_is_as_even_as_chance(
    folder: Path, overlap: Overlap, *, is_fit: bool
) -> None:
    assert (overlap.misses == "") is is_fit
    spec = load(folder).package.explanation
    assert localisation_line(spec, overlap).passed is is_fit


def test_what_was_measured_on_more_images_decides(folder: Path) -> None:
    measured = Measured(
        method="grad_cam", images=200, pointing_game=0.9, mass=0.5, chance=0.02,
        insertion=0.2, deletion=-0.2, randomisation=0.1,
    )  # fmt: skip
    spec = load(folder).package.explanation.model_copy(update={"measured": (measured,)})
    line = localisation_line(spec, Overlap(12, 0.0, 0.0, 0.02))
    assert (line.passed, line.answer) == (True, "maximum in the lesion in 90% of 200 images")
