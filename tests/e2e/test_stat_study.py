"""An emergency arrives from a real sender, its explained results stand in a real archive, and a real
Prometheus that watched has an answer to every query of the dashboards.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dashboards import filled_in, queries
from lightbox.domain.jobs import JobPath
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, Disposition
from lightbox.domain.standing import AuditState
from prometheus_peer import PROMETHEUS, Prometheus
from site_of_tests import SAMPLES, Site, answered

SAMPLE = SAMPLES[0]
RECORDING = Path(__file__).parents[2] / "deploy" / "prometheus" / "recording.yml"


@pytest.fixture(scope="module")
def watching(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus | None]:
    """A Prometheus, where there is one, that scrapes the service from before the study came."""
    if PROMETHEUS is None:
        yield None
        return
    rules = RECORDING.read_text().replace("interval: 1m", "interval: 1s")
    target = site.web.removeprefix("http://")
    with Prometheus(tmp_path_factory.mktemp("watch"), target, rules) as peer:
        peer.value("lightbox_deadlines_total{urgency='STAT',outcome='met'}")
        yield peer


@pytest.fixture(scope="module", autouse=True)
def sent(site: Site, watching: Prometheus | None) -> None:
    assert site.send(SAMPLE, called="LIGHTBOX_STAT").returncode == 0
    site.until(answered(1))
    site.until(lambda a: all(s.audit.state is AuditState.DONE for s in a.studies()), 180)


@pytest.fixture(scope="module")
def watched(site: Site, sent: None, watching: Prometheus | None) -> Prometheus:
    """A Prometheus that has seen all of it, and emergencies that had to wait for an audit."""
    if watching is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    watching.value("lightbox_turnaround_seconds_count{path='audit',urgency='AUDIT'} > 0")
    for sample in SAMPLES[1:4]:
        site.until(lambda a: not any(s.audit.state is AuditState.NONE for s in a.studies()))
        assert site.send(sample, called="LIGHTBOX_STAT").returncode == 0
        site.until(answered(2))
    watching.value("lightbox_preemption_seconds_count > 0")
    return watching


def get(site: Site, path: str) -> bytes:
    with urllib.request.urlopen(site.web + path, timeout=10) as answer:
        return bytes(answer.read())


def test_the_archive_holds_picture_and_region_of_fast_path_and_audit(site: Site) -> None:
    (study,) = site.studies()
    kinds = {(r.path, r.result.kind.value) for r in study.results}
    assert {(path, kind) for path in JobPath for kind in ("sc", "seg")} <= kinds
    assert {r.result.sop_instance_uid for r in study.results} <= set(site.held())


def test_urgency_comes_from_the_called_ae_title_and_is_said(site: Site) -> None:
    (study,) = site.studies()
    assert (study.urgency, study.rule) == ("STAT", "called AE LIGHTBOX_STAT")


def test_the_audit_is_exact_and_complete(site: Site) -> None:
    (study,) = site.studies()
    assert study.audit.exact
    audit = next(job for job in study.jobs if job.job.path is JobPath.AUDIT)
    assert audit.record is not None
    assert audit.record.evaluations >= 4096
    assert abs(audit.record.completeness_residual) < 1e-6


def test_results_say_what_they_are_and_name_their_source(site: Site) -> None:
    source = pydicom.dcmread(SAMPLE, stop_before_pixels=True)
    (study,) = site.studies()
    for result in study.results:
        held = site.archive.file(result.result.sop_instance_uid)
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(held))
        text = str(dataset)
        assert dataset.StudyInstanceUID == source.StudyInstanceUID
        assert dataset.PatientID == source.PatientID
        assert NOT_FOR_DIAGNOSIS in text.upper()
        assert "brain_tumour_mri" in text
        assert source.SOPInstanceUID in text


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
def test_every_result_is_valid(site: Site, tmp_path: Path) -> None:
    (study,) = site.studies()
    for result in study.results:
        file = tmp_path / "result.dcm"
        file.write_bytes(site.archive.file(result.result.sop_instance_uid))
        said = subprocess.run(
            ["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False
        )
        errors = [line for line in said.stderr.splitlines() if line.startswith("Error")]
        assert not errors, (result.result.kind, errors)


def test_the_ledger_proves_and_every_instance_is_delivered(site: Site) -> None:
    proof = site.prove()
    assert proof.ok, proof.problems
    assert (proof.accepted, proof.delivered, proof.unaccounted) == (1, 1, 0)
    assert {i.verdict.disposition for s in site.studies() for i in s.instances} == {
        Disposition.DELIVERED
    }


def test_health_and_metrics_tell_the_same_story(site: Site) -> None:
    assert get(site, "/healthz").startswith(b"ok")
    ready = json.loads(get(site, "/readyz"))
    assert ready["ready"], ready
    metrics = get(site, "/metrics").decode()
    met = [line for line in metrics.splitlines() if line.startswith("lightbox_deadlines_total")]
    counted = sum(float(line.split()[-1]) for line in met)
    assert counted == 2, met  # the fast job and the audit, each once
    assert 'lightbox_instances_received_total{calling_ae="PACS",status="0x0000"} 1.0' in metrics


def test_the_api_shows_the_study_and_its_picture(site: Site) -> None:
    (study,) = json.loads(get(site, "/api/studies"))
    whole = json.loads(get(site, f"/api/studies/{study['study_instance_uid']}"))
    assert whole["events"][0]["kind"] == "instance_stored"
    picture = next(r for r in study["results"] if r["kind"] == "sc")
    assert get(site, f"/api/results/{picture['sop_instance_uid']}/preview.png").startswith(
        b"\x89PNG"
    )


def test_commands_beside_the_service_read_the_same(site: Site) -> None:
    def said(*arguments: str) -> Any:
        done = site.lightbox(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    listed = said("ledger", "list")
    assert [one["disposition"] for one in listed["instances"]] == ["delivered"]
    assert said("ledger", "prove")["ok"]
    assert said("ledger", "check")["ok"]
    assert len(said("studies")) == 1


def test_the_same_study_again_changes_nothing(site: Site) -> None:
    before = sorted(site.held())
    assert site.send(SAMPLE, called="LIGHTBOX_STAT").returncode == 0
    metrics = get(site, "/metrics").decode()
    assert "lightbox_" in metrics
    assert sorted(site.held()) == before
    assert site.prove().accepted == 1


def test_no_patient_stands_in_the_log(site: Site) -> None:
    source = pydicom.dcmread(SAMPLE, stop_before_pixels=True)
    log = site.log.read_text()
    assert str(source.PatientName) not in log
    assert source.PatientID not in log
    assert source.StudyInstanceUID not in log, "a keyed hash stands for it"


def test_each_association_and_each_job_has_one_line(site: Site) -> None:
    (study,) = site.studies()
    lines = [json.loads(line) for line in site.log.read_text().splitlines() if line[:1] == "{"]
    of_jobs = [line for line in lines if study.jobs[0].job.job_id in json.dumps(line)]
    assert [line["event"] for line in of_jobs] == ["job"]
    ended = [line["job"] for line in lines if line["event"] == "job"]
    assert sorted(ended) == sorted(each.job.job_id for each in study.jobs)
    came = [line["association"] for line in lines if line["event"] == "association"]
    assert came
    assert len(came) == len(set(came))


@pytest.mark.parametrize(
    ("where", "query"), [pytest.param(*each, id=each[0].replace(" ", "_")) for each in queries()]
)
def test_a_query_returns_data(watched: Prometheus, where: str, query: str) -> None:
    found = watched.values(filled_in(query))
    assert found, f"{where}: nothing for {query}"
    numbers = [value for value in found if not math.isnan(value)]
    assert numbers, f"{where}: only NaN for {query}"


def test_a_misspelt_metric_would_be_found(watched: Prometheus) -> None:
    where, query = queries()[3]
    misspelt = re.sub(r"lightbox_(\w)", r"lightbox_x\1", query)
    assert misspelt != query
    with pytest.raises(AssertionError, match="nothing for"):
        test_a_query_returns_data(watched, where, misspelt)


def test_rows_that_are_recorded_have_values(watched: Prometheus) -> None:
    """The series of deploy/prometheus/recording.yml that one study can fill."""
    for name in ("deadlines_met:ratio_rate1h", "turnaround_seconds:p99_1h"):
        watched.value(f"lightbox:{name}")
