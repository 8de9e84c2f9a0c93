"""That one study names two patients is noticed, recorded, and told without a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from builders import NOON, a_job, a_stored, an_arrival, an_attribution_record, an_instance
from dicom_images import a_file, an_image
from fakes.ledger import FakeLedger
from lightbox.app.changes.newest_patient import newest_patient
from lightbox.app.changes.patients import Patients
from lightbox.domain.errors import UnreadableError
from lightbox.domain.events import Attributed, InstanceListed, from_json, to_json
from lightbox.domain.patient import PatientChanged
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Attributes, Described
from lightbox.receive.header import describe, patient_digests

ANNA = {"PatientID": "17", "PatientName": "Test^Anna", "PatientBirthDate": "19500101"}
BERTA = {"PatientID": "17", "PatientName": "Test^Berta", "PatientBirthDate": "19500101"}


def read(folder: Path, patient: Mapping[str, str]) -> Attributes:
    image = an_image(np.zeros((4, 4), np.uint16), {**patient})
    return describe(a_file(folder / "image.dcm", image), (), 64)


class Reception:
    """Takes images of one study, in turn, and writes down what they change."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, FakeLedger()
        self.patients = Patients(self.ledger)
        self.files: dict[str, Attributes] = {}
        self.minutes = 0

    def takes(
        self, name: str, patient: Mapping[str, str], association: str = "a1", series: str = ""
    ) -> tuple[str, ...]:
        """Return the keywords of what changes with this image."""
        self.minutes += 1
        arrival = an_arrival(NOON + 60 * self.minutes, association=association)
        image = an_instance(name, series=series)
        described = Described(image, arrival, read(self.folder, patient))
        self.files[described.instance.path] = described.attributes
        self.ledger.record(a_stored(described.instance, arrival))
        events = self.patients.look(described, self.describe)
        self.ledger.record(*events)
        return tuple(keyword for event in events for keyword in event.attributes)

    def describe(self, path: str) -> Attributes:
        if path not in self.files:
            raise UnreadableError(path, "is gone")
        return self.files[path]

    def restarts(self) -> None:
        self.patients = Patients(self.ledger)
        self.patients.recall(self.ledger.rows)

    @property
    def changes(self) -> list[PatientChanged]:
        return [event for event in self.ledger.events if isinstance(event, PatientChanged)]


@pytest.fixture
def desk(tmp_path: Path) -> Reception:
    return Reception(tmp_path)


def test_what_an_image_calls_its_patient_is_compared_and_not_kept(tmp_path: Path) -> None:
    attributes = read(tmp_path, ANNA)
    assert not any("anna" in text.lower() or "1950" in text for text in attributes.values())
    same = {**ANNA, "PatientName": "TEST^ANNA^^ "}
    assert patient_digests(read(tmp_path, same)) == patient_digests(attributes)
    assert set(patient_digests(attributes)) == set(ANNA)


def test_the_first_image_of_a_study_and_one_like_it_change_nothing(desk: Reception) -> None:
    assert desk.takes("1", ANNA) == ()
    assert desk.takes("2", ANNA) == ()


def test_an_image_that_names_another_patient_is_recorded_with_what_differs(
    desk: Reception,
) -> None:
    desk.takes("1", ANNA)
    assert desk.takes("2", BERTA) == ("PatientName",)
    (change,) = desk.changes
    assert change.before == an_instance("1").sop_instance_uid
    assert change.instance == an_instance("2")
    assert from_json(to_json(change)) == change
    assert desk.takes("3", BERTA) == ()


def test_an_attribute_that_one_of_them_leaves_empty_contradicts_nothing(desk: Reception) -> None:
    desk.takes("1", ANNA)
    assert desk.takes("2", {"PatientID": "17"}) == ()
    assert desk.takes("3", {**ANNA, "PatientSex": "F"}) == ()
    assert desk.takes("4", {**ANNA, "PatientSex": "M"}) == ("PatientSex",)


def test_a_correction_that_is_taken_back_is_a_change_again(desk: Reception) -> None:
    desk.takes("1", ANNA, "a1")
    assert desk.takes("2", BERTA, "a2")
    assert desk.takes("3", ANNA, "a3")
    assert [change.number for change in desk.changes] == [0, 1]


def test_an_association_that_mixes_two_patients_says_so_once_for_each(desk: Reception) -> None:
    for number in range(8):
        desk.takes(str(number), (ANNA, BERTA)[number % 2], "a1")
    assert len(desk.changes) <= 2


def test_after_a_restart_the_newest_image_of_the_study_is_read_again(desk: Reception) -> None:
    desk.takes("1", BERTA)
    desk.takes("2", ANNA)
    desk.restarts()
    assert desk.takes("3", ANNA) == ()
    desk.restarts()
    assert desk.takes("4", BERTA) == ("PatientName",)


def test_an_image_whose_predecessor_is_gone_is_not_held_up(desk: Reception) -> None:
    desk.takes("1", ANNA)
    desk.files.clear()
    desk.restarts()
    assert desk.takes("2", BERTA) == ()


@pytest.mark.parametrize("restarts", [False, True])
def test_an_object_that_names_nobody_hides_no_change(desk: Reception, restarts: bool) -> None:
    desk.takes("1", ANNA)
    desk.takes("report", {"PatientID": "17"}, series="1.2.9")
    if restarts:
        desk.restarts()
    assert desk.takes("2", BERTA) == ("PatientName",)


@pytest.mark.parametrize("restarts", [False, True])
def test_an_image_whose_file_is_gone_hides_no_change(desk: Reception, restarts: bool) -> None:
    desk.takes("1", ANNA)
    desk.takes("2", ANNA)
    del desk.files[an_instance("2").path]
    if restarts:
        desk.restarts()
    assert desk.takes("3", BERTA) == ("PatientName",)


def test_a_result_of_ours_that_came_back_does_not_say_who_the_patient_was(desk: Reception) -> None:
    desk.takes("1", ANNA)
    desk.takes("ours", BERTA, series="1.2.9")
    ours, listed = an_instance("ours", series="1.2.9"), ListedReason.OWN_RESULT
    uids = ours.study_instance_uid, ours.sop_instance_uid
    desk.ledger.record(InstanceListed(*uids, ours.sha256, listed, "the ledger knows its UID"))
    desk.restarts()
    assert desk.takes("2", BERTA) == ("PatientName",)


def test_an_image_that_is_taken_again_after_a_crash_is_recorded_once(desk: Reception) -> None:
    desk.takes("1", ANNA)
    desk.takes("2", BERTA)
    desk.restarts()
    described = Described(
        an_instance("2"), an_arrival(NOON + 120), desk.files[an_instance("2").path]
    )
    assert desk.patients.look(described, desk.describe) == ()
    assert len(desk.changes) == 1


def test_results_carry_the_newest_patient_that_was_known_when_they_were_explained(
    desk: Reception,
) -> None:
    job = a_job(an_instance("1"))
    desk.takes("1", ANNA)
    assert newest_patient(desk.ledger, job) is None
    desk.takes("2", BERTA)
    assert newest_patient(desk.ledger, job) == an_instance("2")
    desk.ledger.record(
        Attributed(job.study_instance_uid, job.job_id, an_attribution_record()),
    )
    desk.takes("3", ANNA, "a2")
    assert newest_patient(desk.ledger, job) == an_instance("2")
    other = a_job(an_instance("1"), an_instance("3"))
    assert newest_patient(desk.ledger, other) == an_instance("3")


def test_an_image_that_was_rejected_does_not_say_who_the_patient_is(desk: Reception) -> None:
    job = a_job(an_instance("1"))
    desk.takes("1", ANNA)
    desk.takes("2", BERTA)
    wrong = an_instance("2").sop_instance_uid
    study = job.study_instance_uid
    desk.ledger.record(ImagesRejected(study, (wrong,), "1.2.9", "ab", "113038", "RIS", NOON + 300))
    assert newest_patient(desk.ledger, job) is None
