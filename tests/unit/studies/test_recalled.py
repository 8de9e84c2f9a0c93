"""A unit that was forgotten and recalled goes on like one that never left memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import MR_IMAGE, NOON, a_model, an_arrival, an_instance
from fakes.clock import FakeClock
from lightbox.domain.events import Event, InstanceListed, StudyReady, StudyUrged
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.study import Described
from lightbox.domain.urgency import Rule, Urged, Urgency
from lightbox.settings import StudySettings
from lightbox.studies.assemble import Assemble

STUDY = an_instance("1").study_instance_uid
RULES = (Rule("audited", {"SeriesDescription": ("^audit",)}, audit=True),)


PACKAGES = tuple(
    a_model(unit, unit, "MR", body_part=("BRAIN",), age_years=(0, 99))
    for unit in ("instance", "series")
)


@dataclass
class Side:
    """An assembly, and what it would have written to the ledger."""

    clock: FakeClock
    rows: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.assemble = self.new()

    def new(self) -> Assemble:
        return Assemble(StudySettings(), RULES, PACKAGES, "2.25.1", self.clock)

    def note(self, events: Sequence[Event]) -> Sequence[Event]:
        self.rows.extend(events)
        return events

    def do(self, step: Described | ImagesRejected | StudyUrged | float) -> Sequence[Event]:
        match step:
            case Described():
                return self.note(self.assemble.take(step))
            case ImagesRejected():
                self.rows.append(step)
                self.assemble.reject(step)
            case StudyUrged():
                self.rows.append(step)
                self.assemble.urge(step)
            case _:
                return self.note(self.assemble.due())
        return ()

    def is_settled(self) -> bool:
        return self.assemble.next_due() is None

    def forgets(self, *, restarts: bool) -> None:
        if restarts:
            self.assemble = self.new()
        else:
            self.assemble.forget({STUDY})
            assert not self.assemble.remembered
        for row in self.rows:
            match row:
                case StudyReady():
                    self.assemble.recall(row)
                case ImagesRejected():
                    self.assemble.reject(row)
                case StudyUrged():
                    self.assemble.urge(row)
                case _:
                    pass
        if restarts:  # the road follows notes again after a start
            for row in self.rows:
                if isinstance(row, ImagesRejected):
                    self.assemble.reject(row)


def told(event: Event) -> object:
    """Return what must be the same: of a unit all but what the row says of it as a whole."""
    if isinstance(event, StudyReady):
        content = tuple((i.sop_instance_uid, i.sha256) for i in event.instances)
        return event.model, event.revision, content, event.numbers, event.modality
    assert isinstance(event, InstanceListed)
    return event.sop_instance_uid, event.sha256, event.reason


def caveats(ready: StudyReady) -> list[str]:
    return ready.caveat.split("; ") if ready.caveat else []


def at_least(recalled: Event, remembered: Event) -> bool:
    """Say whether nothing is less urgent, less audited or less cautious than it would have been.

    A row says these of the unit as a whole, so they stay where the image that they came from goes.
    """
    if not isinstance(recalled, StudyReady) or not isinstance(remembered, StudyReady):
        return True
    return (
        Urgency(recalled.urgency).rank <= Urgency(remembered.urgency).rank
        and recalled.audit >= remembered.audit
        and set(caveats(recalled)) >= set(caveats(remembered))
        and len(set(caveats(recalled))) == len(caveats(recalled))
    )


takes = st.builds(
    lambda number, content, called, wants, part, age: (number, content, called, wants, part, age),
    st.integers(1, 4),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["LIGHTBOX", "LIGHTBOX", "LIGHTBOX_STAT"]),
    st.sampled_from(["", "", "audit"]),
    st.sampled_from(["BRAIN", ""]),
    st.sampled_from(["50", ""]),
)
steps = st.one_of(
    takes,
    st.just("pause"),
    st.just("forget"),
    st.just("restart"),
    st.tuples(st.just("reject"), st.integers(1, 4), st.sampled_from(["113001", "113039"])),
    st.tuples(st.just("urge"), st.sampled_from([Urgency.STAT, Urgency.ROUTINE]), st.booleans()),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=14))
def test_a_unit_that_is_recalled_goes_on_like_one_that_never_left_memory(
    script: list[object],
) -> None:
    clock = FakeClock(NOON)
    always, recalled = Side(clock), Side(clock)
    stored: set[tuple[int, str]] = set()
    for n, step in enumerate([*script, "pause"]):
        clock.advance(1.0)
        what: Described | ImagesRejected | StudyUrged | float = 0.0
        match step:
            case "forget" | "restart":
                if recalled.is_settled():
                    recalled.forgets(restarts=step == "restart")
                continue
            case "pause":
                clock.advance(100.0)
            case ("reject", int(number), str(title)):
                uid = an_instance(str(number)).sop_instance_uid
                what = ImagesRejected(STUDY, (uid,), f"1.2.{n}", "ab", title, "PACS", clock.now())
            case ("urge", Urgency() as urgency, bool(is_floor)):
                what = StudyUrged(
                    STUDY, Urged(urgency, f"{urgency} by anna", clock.now(), is_floor)
                )
            case (int(number), str(content), str(called), str(wants), str(part), str(age)):
                if (number, content) in stored:
                    continue  # the listener knows it
                stored.add((number, content))
                what = Described(
                    an_instance(str(number), sop_class=MR_IMAGE, content=content),
                    an_arrival(clock.now(), association=f"a{n}", called=called),
                    {
                        "Modality": "MR",
                        "InstanceNumber": str(number),
                        "SeriesDescription": wants,
                        "BodyPartExamined": part,
                        "CompletedYears": age,
                    },
                )
            case _:
                raise AssertionError(step)
        left, right = always.do(what), recalled.do(what)
        assert [told(e) for e in right] == [told(e) for e in left], step
        assert all(at_least(*pair) for pair in zip(right, left, strict=True)), step
