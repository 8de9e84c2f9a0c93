from __future__ import annotations

from dataclasses import replace

import pytest

from builders import a_digest, a_job, a_prediction, an_instance
from lightbox.domain.audit import AuditPolicy, can_wait, critical, draw, why_audit
from lightbox.domain.jobs import Job, moved
from lightbox.domain.model_package import (
    Accepts,
    Calibration,
    Code,
    Finding,
    ModelPackage,
    Preprocessing,
)
from lightbox.domain.urgency import Urgency

NOTHING_AT_RANDOM = AuditPolicy(sample=0.0)


def a_package(*, critical: bool = False, **calibration: float) -> ModelPackage:
    code = Code(scheme="SCT", value="233604007", meaning="Pneumonia")
    return ModelPackage(
        name="chest_xray",
        version="1.0.0",
        sha256=a_digest("weights", "chest_xray"),
        intended_use="tests",
        licence="CC0",
        citation="none",
        accepts=Accepts(modality=("DX",)),
        preprocessing=Preprocessing(size=(64, 64)),
        findings=(
            Finding(name="pneumonia", label="Pneumonia", code=code, critical=critical),
            Finding(name="normal", label="Normal", code=code, negative=True),
        ),
        calibration=Calibration(**calibration),
    )


def a_fast_job(modality: str = "DX", **changes: object) -> Job:
    return replace(a_job(), modality=modality, **changes)  # type: ignore[arg-type]  # a Job's own fields


def test_a_sure_prediction_is_not_audited() -> None:
    prediction = a_prediction(confidence=0.93)
    assert why_audit(prediction, a_package(), a_fast_job(), NOTHING_AT_RANDOM) is None


@pytest.mark.parametrize("confidence", [0.0, 0.62, 0.849])
def test_a_doubtful_one_is_and_the_reason_has_both_numbers(confidence: float) -> None:
    prediction = a_prediction(confidence=confidence)
    reason = why_audit(prediction, a_package(), a_fast_job(), NOTHING_AT_RANDOM)
    assert reason == f"calibrated confidence {confidence:.2f} below 0.85"


def test_confidence_at_the_threshold_is_enough() -> None:
    prediction = a_prediction(confidence=0.85)
    assert why_audit(prediction, a_package(), a_fast_job(), NOTHING_AT_RANDOM) is None


@pytest.mark.parametrize(
    ("package", "policy", "threshold"),
    [
        (a_package(), AuditPolicy(below_confidence=0.7), 0.7),
        (a_package(audit_below=0.9), AuditPolicy(below_confidence=0.7), 0.9),
        (a_package(audit_below=0.9), AuditPolicy(audit_below={"chest_xray": 0.6}), 0.6),
        (a_package(audit_below=0.9), AuditPolicy(audit_below={"other": 0.6}), 0.9),
    ],
)
def test_the_sites_threshold_outranks_the_models_and_that_the_general_one(
    package: ModelPackage, policy: AuditPolicy, threshold: float
) -> None:
    assert policy.threshold(package) == threshold


def test_modalities_of_the_policy_are_always_audited() -> None:
    job = a_fast_job(modality="MR")
    reason = why_audit(a_prediction(), a_package(), job, NOTHING_AT_RANDOM)
    assert reason == "modality MR"


def test_a_confident_critical_finding_is_audited() -> None:
    reason = why_audit(a_prediction(), a_package(critical=True), a_fast_job(), NOTHING_AT_RANDOM)
    assert reason == "critical finding pneumonia"


def test_a_critical_finding_below_its_threshold_is_audited_for_doubt() -> None:
    prediction = a_prediction(confidence=0.4)
    reason = why_audit(prediction, a_package(critical=True), a_fast_job(), NOTHING_AT_RANDOM)
    assert reason == "calibrated confidence 0.40 below 0.85"


def test_what_a_rule_asks_for_is_audited_and_the_rule_is_the_reason() -> None:
    job = a_fast_job(audit=True, rule="rule mri")
    assert why_audit(a_prediction(), a_package(), job, NOTHING_AT_RANDOM) == "rule mri"


def test_the_random_sample_has_about_its_share() -> None:
    policy = AuditPolicy(sample=0.1)
    jobs = [replace(a_job(an_instance(str(n))), modality="DX") for n in range(2000)]
    reasons = [why_audit(a_prediction(), a_package(), job, policy) for job in jobs]
    assert {reason for reason in reasons if reason} == {"random sample 10 %"}
    assert 150 <= sum(reason is not None for reason in reasons) <= 250


def test_the_draw_depends_on_bytes_and_model_only() -> None:
    job = a_job(an_instance("1"), an_instance("2"))
    again = a_job(an_instance("2"), an_instance("1"), revision=3, received_at=1.0)
    assert draw(again) == draw(job)
    assert draw(a_job(an_instance("1", content="new"), an_instance("2"))) != draw(job)
    assert draw(a_job(an_instance("1"), an_instance("2"), model="other")) != draw(job)


@pytest.mark.parametrize(
    ("critical", "asked", "waits"),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_what_a_person_asked_for_or_what_is_critical_does_not_wait_for_the_night(
    *, critical: bool, asked: bool, waits: bool
) -> None:
    job = a_fast_job(audit=asked)
    assert can_wait(a_prediction(), a_package(critical=critical), job) is waits


def test_who_raised_a_study_is_not_taken_for_who_asked_for_its_audit() -> None:
    asked = a_fast_job(audit=True, rule="called AE LIGHTBOX_AUDIT")
    raised = moved(asked, Urgency.STAT, asked.deadline, "STAT by anna", 1)
    reason = why_audit(a_prediction(), a_package(), raised, NOTHING_AT_RANDOM)
    assert reason == "called AE LIGHTBOX_AUDIT"


def test_a_critical_finding_is_sure_by_the_sites_own_threshold() -> None:
    own = replace(a_prediction(confidence=0.93), thresholds={"pneumonia": 0.95})
    package = a_package(critical=True)
    assert critical(a_prediction(confidence=0.93), package) == "pneumonia"
    assert critical(own, package) is None
