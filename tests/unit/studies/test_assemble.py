from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import MR_IMAGE, NOON, a_described, a_model, an_arrival, an_instance
from fakes.clock import FakeClock
from lightbox.domain.events import (
    AssociationReleased,
    Event,
    InstanceListed,
    ServiceMarked,
    StudyReady,
    StudyUrged,
    from_json,
    to_json,
)
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Described
from lightbox.domain.urgency import Rule, Urged, Urgency
from lightbox.settings import StudySettings
from lightbox.studies.assemble import Assemble

OURS = "2.25.4711"
SETTINGS = StudySettings()


SLICES = a_model("slices", "instance", "MR")
VOLUME = a_model("volume", "series", "MR")


class Bench:
    """An assembler with its clock; slices come in as a scanner sends them."""

    def __init__(self, *packages: ModelPackage, rules: tuple[Rule, ...] = ()) -> None:
        self.clock = FakeClock(NOON)
        self.assemble = Assemble(SETTINGS, rules, packages, OURS, self.clock)

    def take(
        self,
        number: int,
        *,
        content: str = "",
        association: str = "a1",
        called: str = "LIGHTBOX",
        **attributes: str,
    ) -> tuple[Event, ...]:
        described = a_slice(
            number,
            at=self.clock.now(),
            content=content,
            association=association,
            called=called,
            **attributes,
        )
        return self.assemble.take(described)

    def released(self, association: str = "a1") -> tuple[Event, ...]:
        return self.assemble.released(AssociationReleased(association, 1, "released"))

    def pass_time(self, seconds: float) -> tuple[StudyReady, ...]:
        self.clock.advance(seconds)
        return tuple(e for e in self.assemble.due() if isinstance(e, StudyReady))


def a_slice(
    number: int,
    *,
    at: float = NOON,
    content: str = "",
    association: str = "a1",
    called: str = "LIGHTBOX",
    **attributes: str,
) -> Described:
    instance = an_instance(str(number), sop_class=MR_IMAGE, content=content)
    arrival = an_arrival(at, association=association, called=called)
    return Described(
        instance, arrival, {"Modality": "MR", "InstanceNumber": str(number), **attributes}
    )


def names(ready: StudyReady) -> list[str]:
    return [instance.sop_instance_uid for instance in ready.instances]


def sop(*numbers: int) -> list[str]:
    return [an_instance(str(number)).sop_instance_uid for number in numbers]


def only(events: tuple[Event, ...]) -> StudyReady:
    (event,) = events
    assert isinstance(event, StudyReady)
    return event


def test_an_instance_model_gets_its_instance_at_once() -> None:
    ready = only(Bench(SLICES).take(1))
    assert (names(ready), ready.model, ready.revision) == (sop(1), "slices", 1)
    assert (ready.urgency, ready.rule) == (Urgency.ROUTINE, "default")
    assert (ready.received_at, ready.modality) == (NOON, "MR")


def test_a_series_waits_for_silence_after_its_association() -> None:
    bench = Bench(VOLUME)
    assert bench.take(1) == ()
    assert bench.assemble.next_due() == NOON + SETTINGS.force_after
    assert bench.released() == ()
    assert bench.assemble.next_due() == NOON + SETTINGS.quiet_period
    assert bench.pass_time(9.9) == ()
    (ready,) = bench.pass_time(0.1)
    assert names(ready) == sop(1)
    assert bench.assemble.next_due() is None
    assert bench.pass_time(1000.0) == ()


def test_an_urgent_series_waits_for_a_short_silence_only() -> None:
    bench = Bench(VOLUME)
    bench.take(1, called="LIGHTBOX_STAT")
    bench.released()
    (ready,) = bench.pass_time(0.3)
    assert (ready.urgency, ready.rule) == (Urgency.STAT, "called AE LIGHTBOX_STAT")


@pytest.mark.parametrize("called", ["LIGHTBOX", "LIGHTBOX_STAT"])
def test_an_association_that_stays_open_stalls_nothing(called: str) -> None:
    """Whatever the urgency: pauses inside of an association say nothing about its end."""
    bench = Bench(VOLUME)
    bench.take(1, called=called)
    assert bench.pass_time(59.9) == ()
    (ready,) = bench.pass_time(0.1)
    assert names(ready) == sop(1)


def test_each_instance_starts_the_silence_anew() -> None:
    bench = Bench(VOLUME)
    bench.take(1)
    bench.released()
    bench.clock.advance(8.0)
    bench.take(2, association="a2")
    bench.released("a2")
    assert bench.pass_time(9.9) == ()
    (ready,) = bench.pass_time(0.1)
    assert names(ready) == sop(1, 2)


def test_a_series_waits_for_all_associations_that_bring_it() -> None:
    bench = Bench(VOLUME)
    bench.take(1, association="a1")
    bench.take(2, association="a2")
    bench.released("a1")
    assert bench.pass_time(20.0) == ()
    bench.released("a2")
    (ready,) = bench.pass_time(10.0)
    assert names(ready) == sop(1, 2)


def test_a_release_that_is_heard_before_the_instance_counts() -> None:
    bench = Bench(VOLUME)
    bench.released()
    bench.take(1)
    assert bench.assemble.next_due() == NOON + SETTINGS.quiet_period


def test_instances_are_ordered_by_instance_number_then_uid() -> None:
    bench = Bench(VOLUME)
    for number in (10, 2, 1):
        bench.take(number)
    bench.take(3, InstanceNumber="")
    bench.take(4, InstanceNumber="odd")
    (ready,) = bench.pass_time(60.0)
    assert names(ready) == sop(1, 2, 10) + sorted(sop(3, 4))


def test_the_most_urgent_instance_decides_for_its_series() -> None:
    bench = Bench(VOLUME, rules=(Rule("late", {"SeriesTime": ("^23",)}, Urgency.HIGH),))
    bench.take(1)
    bench.take(2, SeriesTime="2300")
    bench.take(3)
    (ready,) = bench.pass_time(60.0)
    assert (ready.urgency, ready.rule) == (Urgency.HIGH, "rule late")


def test_a_late_instance_revises_the_whole_series() -> None:
    bench = Bench(VOLUME)
    bench.take(1)
    bench.take(3)
    bench.released()
    (first,) = bench.pass_time(10.0)
    bench.take(2, association="a2")
    bench.released("a2")
    (second,) = bench.pass_time(10.0)
    assert (names(first), first.revision) == (sop(1, 3), 1)
    assert (names(second), second.revision) == (sop(1, 2, 3), 2)
    assert second.key != first.key
    assert second.received_at == NOON + 10.0


def test_a_late_instance_does_not_wait_for_associations_of_earlier_ones() -> None:
    bench = Bench(VOLUME)
    bench.take(1, association="open all day")
    bench.pass_time(60.0)
    bench.take(2, association="a2")
    bench.released("a2")
    (second,) = bench.pass_time(10.0)
    assert names(second) == sop(1, 2)


@pytest.mark.parametrize("package", [SLICES, VOLUME])
def test_a_duplicate_changes_nothing(package: ModelPackage) -> None:
    bench = Bench(package)
    bench.take(1)
    bench.pass_time(60.0)
    assert bench.take(1, association="a2") == ()
    assert bench.assemble.next_due() is None


def test_a_duplicate_does_not_prolong_the_silence() -> None:
    bench = Bench(VOLUME)
    bench.take(1)
    bench.released()
    bench.clock.advance(9.0)
    bench.take(1)
    (ready,) = bench.pass_time(1.0)
    assert ready.received_at == NOON


def test_newer_bytes_of_an_instance_revise_it_and_the_older_are_listed() -> None:
    bench = Bench(SLICES)
    old = only(bench.take(1, content="old"))
    bench.clock.advance(1.0)
    listed, new = bench.take(1, content="new")
    assert isinstance(listed, InstanceListed)
    assert isinstance(new, StudyReady)
    assert (listed.reason, listed.sha256) == (ListedReason.CONFLICT, old.instances[0].sha256)
    assert new.revision == 2
    assert new.instances == (an_instance("1", sop_class=MR_IMAGE, content="new"),)


def test_newer_bytes_revise_a_series() -> None:
    bench = Bench(VOLUME)
    bench.take(1, content="old")
    bench.take(2)
    bench.pass_time(60.0)
    (listed,) = bench.take(1, content="new")
    assert isinstance(listed, InstanceListed)
    (ready,) = bench.pass_time(60.0)
    assert (names(ready), ready.revision) == (sop(1, 2), 2)
    assert ready.instances[0].sha256 == an_instance("1", content="new").sha256


def test_older_bytes_that_are_heard_of_later_do_not_win() -> None:
    bench = Bench(SLICES)
    bench.take(1, content="new")
    older = a_slice(1, at=NOON - 5.0, content="old")
    (listed,) = bench.assemble.take(older)
    assert isinstance(listed, InstanceListed)
    assert listed.sha256 == older.instance.sha256


def test_a_conflict_is_listed_once_though_two_models_look_at_the_instance() -> None:
    bench = Bench(SLICES, a_model("other", "instance", "MR"), VOLUME)
    bench.take(1, content="old")
    events = bench.take(1, content="new")
    assert [type(event) for event in events].count(InstanceListed) == 1


def test_our_own_results_are_listed_and_not_analysed() -> None:
    (event,) = Bench(SLICES).take(1, ContributingDeviceUID=f"1.2.3\\{OURS}")
    assert isinstance(event, InstanceListed)
    assert event.reason is ListedReason.OWN_RESULT


def test_another_device_that_contributed_is_no_reason_to_refuse() -> None:
    only(Bench(SLICES).take(1, ContributingDeviceUID="1.2.3\\2.25.47110"))


def test_an_instance_that_no_model_is_for_is_listed_with_what_each_says() -> None:
    bench = Bench(a_model("chest", "instance", "DX"), a_model("breast", "instance", "MG"))
    (event,) = bench.take(1)
    assert isinstance(event, InstanceListed)
    assert event.reason is ListedReason.NO_MODEL
    assert event.detail == (
        "chest: Modality is MR, the model is for DX; breast: Modality is MR, the model is for MG"
    )


def test_an_instance_that_almost_fits_is_listed_with_what_is_missing() -> None:
    bench = Bench(
        a_model("chest", "instance", "DX"), a_model("brain", "instance", "MR", body_part=("BRAIN",))
    )
    (event,) = bench.take(1, BodyPartExamined="KNEE")
    assert isinstance(event, InstanceListed)
    assert event.reason is ListedReason.NOT_APPLICABLE
    assert event.detail == "brain: Body Part Examined is KNEE, the model is for BRAIN"


def test_an_instance_of_a_private_sop_class_is_listed_as_not_applicable() -> None:
    bench = Bench(a_model("chest", "instance", "DX"))
    private = replace(an_instance("1"), sop_class_uid="1.3.12.2.1107.5.9.1")
    (event,) = bench.assemble.take(a_described(private, Modality="MR"))
    assert isinstance(event, InstanceListed)
    assert event.reason is ListedReason.NOT_APPLICABLE
    assert "1.3.12.2.1107.5.9.1 is private" in event.detail


def test_without_any_model_everything_is_listed() -> None:
    (event,) = Bench().take(1)
    assert isinstance(event, InstanceListed)
    assert (event.reason, event.detail) == (ListedReason.NO_MODEL, "no model is served")


def test_a_rule_chooses_among_the_models() -> None:
    rules = (Rule("volume only", {}, models=("volume",)),)
    bench = Bench(SLICES, VOLUME, rules=rules)
    assert bench.take(1) == ()
    (ready,) = bench.pass_time(60.0)
    assert ready.model == "volume"


def test_a_rule_that_asks_for_a_model_that_is_not_served_says_so() -> None:
    bench = Bench(SLICES, rules=(Rule("r", {}, Urgency.HIGH, models=("gone",)),))
    (event,) = bench.take(1)
    assert isinstance(event, InstanceListed)
    assert event.detail == "rule r asks for gone: not served"


def test_what_a_rule_wants_audited_is_marked() -> None:
    bench = Bench(VOLUME, rules=(Rule("one", {"InstanceNumber": ("^2$",)}, audit=True),))
    bench.take(1)
    bench.take(2)
    (ready,) = bench.pass_time(60.0)
    assert ready.audit


def test_the_caveats_of_all_instances_stand_on_the_unit_once() -> None:
    bench = Bench(a_model("brain", "series", "MR", body_part=("BRAIN",)))
    bench.take(1, BodyPartExamined="BRAIN")
    bench.take(2)
    bench.take(3)
    (ready,) = bench.pass_time(60.0)
    assert ready.caveat == "body part not stated by the source"


def test_series_that_are_due_come_in_the_order_in_which_they_were() -> None:
    bench = Bench(VOLUME, a_model("another", "series", "MR"))
    bench.take(1, called="LIGHTBOX")
    bench.released()
    ready = bench.pass_time(100.0)
    assert [event.model for event in ready] == ["another", "volume"]


def test_events_survive_the_ledger() -> None:
    event = only(Bench(SLICES).take(1, called="LIGHTBOX_STAT"))
    assert from_json(to_json(event)) == event


class TestAfterARestart:
    def test_the_same_instances_become_the_same_units(self) -> None:
        before, after = Bench(VOLUME), Bench(VOLUME)
        for number in (1, 2, 3):
            before.take(number)
        (was,) = before.pass_time(60.0)
        numbers = [3, 1, 2]
        for number in numbers:
            after.take(number)
        (now,) = after.pass_time(60.0)
        assert now == was

    def test_a_late_instance_revises_what_was_ready_before(self) -> None:
        before = Bench(VOLUME)
        before.take(1)
        before.take(3)
        (was,) = before.pass_time(60.0)
        after = Bench(VOLUME)
        after.assemble.recall(was)
        after.take(2, association="a2")
        assert after.assemble.next_due() is not None
        (now,) = after.pass_time(60.0)
        assert now.revision == 2
        assert names(now) == sop(1, 2, 3)

    def test_rows_of_the_version_before_tell_the_order_alone(self) -> None:
        before, after = Bench(VOLUME), Bench(VOLUME)
        before.take(1)
        before.take(3)
        (was,) = before.pass_time(60.0)
        after.assemble.recall(replace(was, numbers=()))
        after.take(4, association="a2")
        (now,) = after.pass_time(60.0)
        assert names(now) == sop(1, 3, 4)

    def test_instances_that_were_ready_before_do_not_become_ready_again(self) -> None:
        for package in (SLICES, VOLUME):
            before = Bench(package)
            events = before.take(1)
            was = only(events or before.pass_time(60.0))
            for recalled_first in (True, False):
                after = Bench(package)
                if recalled_first:
                    after.assemble.recall(was)
                    assert after.take(1) == ()
                elif package is VOLUME:
                    after.take(1)
                    after.assemble.recall(was)
                assert after.pass_time(1000.0) == ()

    def test_a_unit_of_a_model_that_is_gone_is_forgotten(self) -> None:
        was = only(Bench(SLICES).take(1))
        after = Bench(VOLUME)
        after.assemble.recall(was)
        assert after.assemble.next_due() is None

    def test_associations_of_a_dead_listener_count_as_closed(self) -> None:
        bench = Bench(VOLUME)
        bench.take(1)
        bench.clock.advance(2.0)
        bench.assemble.restarted(ServiceMarked("receive", "started", "1", NOON + 1.0))
        (ready,) = bench.pass_time(9.0)
        assert names(ready) == sop(1)

    def test_associations_of_the_living_listener_do_not(self) -> None:
        bench = Bench(VOLUME)
        bench.take(1)
        bench.assemble.restarted(ServiceMarked("receive", "started", "1", NOON - 1.0))
        assert bench.assemble.next_due() == NOON + SETTINGS.force_after


def test_what_is_a_week_old_is_forgotten() -> None:
    bench = Bench(SLICES, VOLUME)
    bench.take(1)
    bench.pass_time(60.0)
    bench.pass_time(8 * 86400.0)
    assert bench.assemble.remembered == 0


def test_other_bytes_that_come_after_a_unit_is_forgotten_are_not_taken_for_the_old_ones() -> None:
    bench = Bench(SLICES)
    old = only(bench.take(1, content="old"))
    bench.pass_time(8 * 86400.0)
    new = only(bench.take(1, content="new"))
    assert new.key != old.key


@given(st.permutations(range(1, 8)), st.integers(0, 1000))
def test_whatever_the_order_and_the_pauses_every_instance_is_in_the_last_revision(
    order: list[int], seed: int
) -> None:
    pauses = random.Random(seed)
    bench = Bench(VOLUME)
    ready: list[StudyReady] = []
    for number in order:
        bench.take(number, association=f"a{number}")
        bench.released(f"a{number}")
        ready += bench.pass_time(pauses.choice([0.0, 1.0, 11.0]))
    ready += bench.pass_time(60.0)
    assert names(ready[-1]) == sop(*range(1, 8))
    assert [event.revision for event in ready] == list(range(1, len(ready) + 1))
    covered = {name for event in ready for name in names(event)}
    assert covered == set(sop(*range(1, 8)))


def test_two_studies_that_share_a_series_uid_are_kept_apart() -> None:
    bench = Bench(VOLUME)
    bench.take(1)
    stray = a_slice(2)
    bench.assemble.take(
        replace(stray, instance=replace(stray.instance, study_instance_uid="1.2.3"))
    )
    assert len(bench.pass_time(60.0)) == 2


def urged(urgency: Urgency, at: float, *, is_floor: bool = False) -> StudyUrged:
    study = a_slice(1, at=NOON).instance.study_instance_uid
    return StudyUrged(study, Urged(urgency, f"{urgency} by anna", at, is_floor))


def test_a_study_that_is_raised_while_it_is_collected_is_ready_sooner() -> None:
    bench = Bench(VOLUME)
    bench.take(1)
    bench.released()
    bench.assemble.urge(urged(Urgency.STAT, NOON))
    bench.clock.advance(SETTINGS.quiet_period_urgent + 0.01)
    (ready,) = bench.assemble.due()
    assert isinstance(ready, StudyReady)
    assert (ready.urgency, ready.rule) == (Urgency.STAT, "STAT by anna")


def test_what_is_still_to_come_of_a_raised_study_is_urgent_too() -> None:
    bench = Bench(SLICES)
    bench.assemble.urge(urged(Urgency.STAT, NOON))
    (ready,) = bench.take(1)
    assert isinstance(ready, StudyReady)
    assert (ready.urgency, ready.rule) == (Urgency.STAT, "STAT by anna")


def test_a_finding_makes_nothing_less_urgent_and_a_person_may() -> None:
    bench = Bench(SLICES)
    bench.assemble.urge(urged(Urgency.HIGH, NOON, is_floor=True))
    (first,) = bench.take(1, called="LIGHTBOX_STAT")
    bench.assemble.urge(urged(Urgency.ROUTINE, NOON + 1.0))
    (second,) = bench.take(2, called="LIGHTBOX_STAT")
    assert isinstance(first, StudyReady)
    assert isinstance(second, StudyReady)
    assert (first.urgency, second.urgency) == (Urgency.STAT, Urgency.ROUTINE)


def rejection(*numbers: int, title: str = "113001") -> ImagesRejected:
    study = an_instance("1").study_instance_uid
    return ImagesRejected(study, tuple(sop(*numbers)), "1.2.9", "ab", title, "PACS", NOON + 30)


def test_a_series_that_waits_goes_on_without_a_rejected_image() -> None:
    bench = Bench(VOLUME)
    for number in (1, 2, 3):
        bench.take(number)
    bench.assemble.reject(rejection(2))
    (ready,) = bench.pass_time(60)
    assert names(ready) == sop(1, 3)
    assert ready.revision == 1


def test_a_series_that_was_ready_gets_a_revision_without_a_rejected_image() -> None:
    bench = Bench(VOLUME)
    for number in (1, 2, 3):
        bench.take(number)
    assert len(bench.pass_time(60)) == 1
    bench.assemble.reject(rejection(1))
    (ready,) = bench.pass_time(1)
    assert names(ready) == sop(2, 3)
    assert ready.revision == 2
    assert bench.pass_time(60) == ()


def test_a_series_of_which_all_is_rejected_is_forgotten() -> None:
    bench = Bench(VOLUME)
    bench.take(1)
    bench.assemble.reject(rejection(1))
    assert bench.pass_time(60) == ()
    assert bench.assemble.remembered == 0


def test_an_image_that_was_rejected_before_it_came_is_listed() -> None:
    bench = Bench(SLICES)
    bench.assemble.reject(rejection(1))
    (listed,) = bench.take(1)
    assert isinstance(listed, InstanceListed)
    assert listed.reason is ListedReason.REJECTED
    (ready,) = bench.take(2)
    assert isinstance(ready, StudyReady)


def test_what_was_rejected_for_its_age_alone_is_taken_when_it_is_sent_again() -> None:
    bench = Bench(SLICES)
    bench.assemble.reject(rejection(1, title="113039"))
    bench.clock.advance(60)
    (ready,) = bench.take(1)
    assert isinstance(ready, StudyReady)


def test_after_a_restart_a_rejection_is_neither_forgotten_nor_followed_twice() -> None:
    bench = Bench(VOLUME)
    for number in (1, 2):
        bench.take(number)
    (first,) = bench.pass_time(60)
    bench.assemble.reject(rejection(2))
    (second,) = bench.pass_time(1)
    again = Bench(VOLUME)
    for step in (first, rejection(2), second):
        if isinstance(step, StudyReady):
            again.assemble.recall(step)
        else:
            again.assemble.reject(step)
    assert again.pass_time(120) == ()
    again.take(3)
    (third,) = again.pass_time(120)
    assert names(third) == sop(1, 3)
    assert third.revision == 3
