"""Bad input of every kind gets one clear answer; the service goes on and nothing is lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage, generate_uid

from lightbox.domain.result import Disposition
from lightbox.tools.orthanc import free_port
from site_of_tests import SAMPLES, Site, answered, lightbox


def changed(tmp_path: Path, **values: object) -> Path:
    dataset = pydicom.dcmread(SAMPLES[0])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    for key, value in values.items():
        if value is None:
            delattr(dataset, key)
        else:
            setattr(dataset, key, value)
    file = tmp_path / f"{dataset.SOPInstanceUID}.dcm"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(file)
    return file


def verdict(site: Site, file: Path) -> tuple[str, str]:
    uid = pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID
    settled = site.until(
        lambda a: any(
            i.verdict.disposition is not Disposition.IN_PROGRESS for i in a.study(uid).instances
        )
    )
    found = settled.study(uid).instances[0].verdict
    return found.reason, found.detail


@pytest.mark.parametrize(
    ("values", "reason", "words"),
    [
        ({"PixelData": None}, "not_applicable", "no pixel data"),
        ({"PixelData": b"\0\1\2\3"}, "unreadable", ""),
        ({"BodyPartExamined": "KNEE"}, "not_applicable", "KNEE"),
        ({"Modality": "CT", "SOPClassUID": CTImageStorage}, "no_model", "CT"),
    ],
)
def test_what_cannot_be_analysed_is_listed_with_the_reason(
    site: Site, tmp_path: Path, values: dict[str, object], reason: str, words: str
) -> None:
    file = changed(tmp_path, **values)
    assert site.send(file).returncode == 0
    found = verdict(site, file)
    assert found[0] == reason
    assert words in found[1]


def test_an_unknown_sop_class_is_refused_in_the_negotiation(site: Site, tmp_path: Path) -> None:
    file = changed(tmp_path, SOPClassUID="1.2.3.4.5.6.7")
    assert site.send(file).returncode != 0


def test_the_service_goes_on_after_all_that(site: Site) -> None:
    assert site.send(SAMPLES[1], called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(1))
    assert site.prove().ok


def only_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stderr.strip().splitlines()
    (line,) = [line for line in said if not line.startswith("{")]  # what a role logged before
    return line


def test_a_second_service_on_the_same_data_directory_is_refused_in_one_line(site: Site) -> None:
    assert "is in use" in only_line(lightbox("-c", str(site.config), "serve"), 2)


@pytest.mark.parametrize("taken", ["dicom_port", "web_port"])
def test_a_port_in_use_is_named_in_one_line(site: Site, tmp_path: Path, taken: str) -> None:
    text = site.config.read_text().replace(str(site.data), str(tmp_path / "data"))
    for port in {site.dicom_port, site.web_port} - {getattr(site, taken)}:
        text = text.replace(f"port = {port}\n", f"port = {free_port()}\n")
    config = tmp_path / "other.toml"
    config.write_text(text)
    line = only_line(lightbox("-c", str(config), "serve"), 2)
    assert str(getattr(site, taken)) in line


def test_a_wrong_key_names_the_nearest_right_one(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text('[dicom]\nae_titel = "X"\n')
    assert "ae_title" in only_line(lightbox("-c", str(config), "serve"), 2)


def test_a_wrong_variable_names_the_nearest_right_one() -> None:
    line = only_line(lightbox("config", "check", LIGHTBOX__DICMO__PORT="1"), 2)
    assert "LIGHTBOX__DICMO__PORT" in line
    assert "dicom" in line


def test_a_model_folder_with_a_wrong_key_is_named_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    text = (SAMPLES[0].parents[1] / "model.toml").read_text()
    (folder / "model.toml").write_text(
        text.replace("[preprocessing]\nsize", "[preprocessing]\nsizes")
    )
    (folder / "weights.onnx").write_bytes(b"")
    done = lightbox("models", "check", str(folder))
    assert done.returncode == 1
    assert "size" in done.stdout + done.stderr
