"""A running service removes what is accounted for, says so first, and the proof holds."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from lightbox.domain.account import Account
from lightbox.domain.events import FilesRemoved
from lightbox.domain.keeping import removed_paths
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site, answered

NO_AUDITS = "[audit]\nbelow_confidence = 0\nsample = 0\nmodalities = []\n"


def removed(site: Site, study: str) -> set[str]:
    account = Account(("archive",))
    for row in LedgerReader(site.data / "ledger").timeline(study):
        account.apply(row)
    return set(removed_paths(account.of(study)))


def test_files_go_after_their_retention_and_what_is_asked_of_them_then_is_answered_in_words(
    tmp_path: Path,
) -> None:
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, NO_AUDITS)
        text = site.config.read_text().replace("[storage]", '[storage]\nretention = "2s"')
        site.config.write_text(text.replace("[studies]", '[studies]\nforce_after = "1s"'))
        site.start()
        try:
            assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
            account = site.until(
                lambda a: any(bool(removed(site, s.study_instance_uid)) for s in a.studies())
            )
            (study,) = account.studies()
            gone = removed(site, study.study_instance_uid)
            site.until(lambda _: not any((site.data / path).exists() for path in gone))
            checked = site.lightbox("ledger", "check")
            replayed = site.lightbox("replay", study.results[0].result.sop_instance_uid)
            audited = site.lightbox("audit", study.study_instance_uid)
        finally:
            site.service.stop()
    assert {instance.instance.path for instance in study.instances} <= gone
    assert {each.result.path for each in study.results} <= gone
    assert (checked.returncode, "proved" in checked.stdout) == (0, True), checked.stderr
    assert (replayed.returncode, "removed by retention" in replayed.stderr) == (1, True)
    assert (audited.returncode, "removed by retention" in audited.stderr) == (1, True)
    assert not [path for path in (site.data / "results").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_an_erased_study_leaves_no_patient_data_anywhere_and_the_proof_in_the_ledger(
    tmp_path: Path,
) -> None:
    image = pydicom.dcmread(SAMPLES[0])
    image.PatientName, image.PatientID, image.AccessionNumber = "Roe^Jane", "MRN-471108", "ACC-9917"
    image.save_as(tmp_path / "image.dcm")
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, NO_AUDITS)
        site.start()
        try:
            assert site.send(tmp_path / "image.dcm", called="LIGHTBOX_STAT").returncode == 0
            (study,) = site.until(answered(1)).studies()
            uid = study.study_instance_uid
            assert said(site.data, b"MRN-471108")
            unsure = site.lightbox("erase", uid)
            done = site.lightbox("erase", uid, "--yes", "--reason", "asked in writing")
            checked = site.lightbox("ledger", "check")
        finally:
            site.service.stop()
    assert (unsure.returncode, "--yes" in unsure.stderr) == (2, True)
    assert (done.returncode, "files erased" in done.stdout) == (0, True), done.stderr
    assert checked.returncode == 0, checked.stderr
    for secret in (b"Roe", b"MRN-471108", b"ACC-9917"):
        assert said(site.data, secret) == []
    rows = LedgerReader(site.data / "ledger").timeline(uid)
    (row,) = [each.event for each in rows if isinstance(each.event, FilesRemoved)]
    assert (row.why, row.reason) == ("erased", "asked in writing")
    assert {each.instance.sha256 for each in study.instances} <= {file.sha256 for file in row.files}


def said(folder: Path, secret: bytes) -> list[Path]:
    """Return the files that hold these bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]
