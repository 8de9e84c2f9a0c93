"""A running service removes what is accounted for, says so first, and the proof holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lightbox.domain.account import Account
from lightbox.domain.keeping import removed_paths
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site


def lightbox(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lightbox", "-c", str(site.config), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def removed(site: Site, study: str) -> set[str]:
    account = Account(("archive",))
    for row in LedgerReader(site.data / "ledger").timeline(study):
        account.apply(row)
    return set(removed_paths(account.of(study)))


def test_files_go_after_their_retention_and_what_is_asked_of_them_then_is_answered_in_words(
    tmp_path: Path,
) -> None:
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, "[audit]\nbelow_confidence = 0\nsample = 0\nmodalities = []\n")
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
            checked = lightbox(site, "ledger", "check")
            replayed = lightbox(site, "replay", study.results[0].result.sop_instance_uid)
            audited = lightbox(site, "audit", study.study_instance_uid)
        finally:
            site.service.stop()
    assert {instance.instance.path for instance in study.instances} <= gone
    assert {each.result.path for each in study.results} <= gone
    assert (checked.returncode, "proved" in checked.stdout) == (0, True), checked.stderr
    assert (replayed.returncode, "removed by retention" in replayed.stderr) == (1, True)
    assert (audited.returncode, "removed by retention" in audited.stderr) == (1, True)
    assert not [path for path in (site.data / "results").rglob("*") if path.is_file()]
