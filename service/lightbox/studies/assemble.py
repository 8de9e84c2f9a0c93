"""The door of step 2: take instances, say which units are ready for which model.

A unit of one instance is ready as soon as the instance is described. A series is collected until
``domain/readiness.py`` says that it is complete enough; a late instance makes a new revision of
the whole series. Nothing here is written down: after a restart the same instances are taken
again, units that were ready are recalled, and the same units become ready.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from lightbox.domain.events import (
    AssociationReleased,
    Event,
    InstanceListed,
    ServiceMarked,
    StudyReady,
    StudyUrged,
)
from lightbox.domain.identity import STANDARD_ROOT
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Described, Instance
from lightbox.domain.urgency import Decision, Rule, Urged, decide
from lightbox.ports import Clock
from lightbox.settings import StudySettings
from lightbox.studies.match import Match, match
from lightbox.studies.units import Member, Unit, UnitKey

_REMEMBERED = 7 * 86400.0
"""Seconds that a unit is remembered for late instances; it bounds memory. After them the name of its
study tells that the ledger remembers it."""
_TIDY_EVERY = 3600.0


class Assemble:
    """Collects described instances into units.

    Parameters
    ----------
    settings : StudySettings
        Quiet periods and ``force_after``.
    rules : sequence of Rule
        The site's rules, in order; the first that matches decides.
    packages : sequence of ModelPackage
        The models that are served, in order.
    own_device_uid : str
        Device UID that our results carry as contributing equipment: what carries it is ours.
    clock : Clock
        Where the time comes from.
    """

    def __init__(
        self,
        settings: StudySettings,
        rules: Sequence[Rule],
        packages: Sequence[ModelPackage],
        own_device_uid: str,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._rules = tuple(rules)
        self._packages = {package.name: package for package in packages}
        self._own_device_uid = own_device_uid
        self._clock = clock
        self._units: dict[UnitKey, Unit] = {}
        self._open: dict[UnitKey, Unit] = {}
        self._closed: dict[str, float] = {}
        self._urged: dict[str, Urged] = {}
        self._rejected: dict[str, dict[str, ImagesRejected]] = {}
        self._put_away: set[str] = set()
        self._tidied_at = clock.now()

    def take(self, described: Described) -> tuple[Event, ...]:
        """Take a described instance; return what it makes ready, or why it is listed."""
        ours = described.attributes.get("ContributingDeviceUID", "").split("\\")
        if self._own_device_uid and self._own_device_uid in ours:
            detail = "made by this service: its contributing equipment is our device"
            return (_listed(described.instance, ListedReason.OWN_RESULT, detail),)
        rejection = self._rejection(described)
        if rejection is not None:
            return (_listed(described.instance, ListedReason.REJECTED, rejection.words),)
        decision = decide(self._rules, described.arrival, described.attributes)
        urged = self._urged.get(described.instance.study_instance_uid)
        if urged is not None and urged.changes(decision.urgency):
            decision = replace(decision, urgency=urged.urgency, rule=urged.rule)
        asked = [
            package
            for package in self._packages.values()
            if not decision.models or package.name in decision.models
        ]
        matches = match(asked, described)
        accepted = [answer for answer in matches if answer.refused is None]
        if not accepted:
            return (_without_model(described.instance, matches, decision),)
        events: dict[str, Event] = {}
        for answer in accepted:
            for event in self._add(answer, described, decision):
                events[event.key] = event
        return tuple(events.values())

    def configure(self, settings: StudySettings, rules: Sequence[Rule]) -> None:
        """Go by other periods and rules from now on; what was decided stays."""
        self._settings, self._rules = settings, tuple(rules)

    def released(self, event: AssociationReleased) -> tuple[Event, ...]:
        """Note that an association has ended; return what that makes ready."""
        self._closed.setdefault(event.association, self._clock.now())
        return self.due()

    def urge(self, event: StudyUrged) -> None:
        """Give what is collected, and what is still to come of this study, its new urgency."""
        held = self._urged.get(event.study)
        if held is None or event.urged.at >= held.at:
            self._urged[event.study] = event.urged
            for key, unit in self._units.items():
                if key.study_instance_uid == event.study:
                    unit.urge(event.urged)

    def reject(self, event: ImagesRejected) -> None:
        """Let go of images that a note rejects, and of those that are still to come."""
        held = self._rejected.setdefault(event.study, {})
        held.update((uid, event) for uid in event.sop_instance_uids)
        for key in [key for key in self._units if key.study_instance_uid == event.study]:
            unit = self._units[key]
            if unit.take_out(event):
                self._note(unit)
                if unit.is_empty:
                    del self._units[key]

    def urged(self, study: str) -> Urged | None:
        """Return the urgency that a study was given after it arrived, if it was given one."""
        return self._urged.get(study)

    def rejections(self, study: str) -> tuple[ImagesRejected, ...]:
        """Return the notes that reject images of a study."""
        return tuple(dict.fromkeys(self._rejected.get(study, {}).values()))

    def restarted(self, event: ServiceMarked) -> None:
        """Note that the listener started: whatever came before came over dead associations."""
        for unit in self._open.values():
            for association in unit.associations_before(event.at):
                self._closed.setdefault(association, event.at)

    def recall(self, event: StudyReady) -> None:
        """Remember a unit that was ready in an earlier run, so that what comes late revises it."""
        package = self._packages.get(event.model)
        if package is not None:
            unit = self._unit(event.instances[0], package)
            unit.recall(event)
            self._note(unit)

    def lacks(self, study: str) -> bool:
        """Say, once, whether something of a study was dropped for its age.

        What was ready, urged and rejected of it must be given again before more of it is taken.
        """
        lacking = study in self._put_away
        self._put_away.discard(study)
        return lacking

    def forget(self, studies: Collection[str]) -> None:
        """Drop what is known of settled studies, but for what is still to become ready.

        The same must be given again before more of them is taken.
        """
        for key in [key for key in self._units if key.study_instance_uid in studies]:
            if key not in self._open:
                del self._units[key]
        for study in set(studies) - {key.study_instance_uid for key in self._open}:
            self._urged.pop(study, None)
            self._rejected.pop(study, None)
            self._put_away.discard(study)

    def due(self) -> tuple[Event, ...]:
        """Return the series that are ready by now, the longest overdue first."""
        now = self._clock.now()
        ready = sorted((at, key) for key, at in self._moments() if at <= now)
        self._tidy(now)
        return tuple(self._open.pop(key).ready() for _, key in ready)

    def next_due(self) -> float | None:
        """Return when the next series will be ready, seconds since 1970; None if none waits."""
        return min((at for _, at in self._moments()), default=None)

    @property
    def remembered(self) -> int:
        """How many units are held in memory."""
        return len(self._units)

    def _moments(self) -> list[tuple[UnitKey, float]]:
        return [
            (key, unit.due_at(self._settings, self._closed)) for key, unit in self._open.items()
        ]

    def _add(self, answer: Match, described: Described, decision: Decision) -> list[Event]:
        unit = self._unit(described.instance, answer.package)
        events: list[Event] = []
        number = described.attributes.get("InstanceNumber", "").strip()
        loser = unit.add(
            Member(
                described.instance,
                described.arrival.received_at,
                described.arrival.association,
                decision,
                int(number) if number.lstrip("+-").isdecimal() else None,
                answer.caveat,
                described.attributes.get("Modality", "").strip().upper(),
            )
        )
        if loser is not None:
            detail = "other bytes with the same SOP Instance UID came later and took its place"
            events.append(_listed(loser, ListedReason.CONFLICT, detail))
        self._note(unit)
        if unit.is_open and unit.key.sop_instance_uid:
            events.append(self._open.pop(unit.key).ready())
        return events

    def _rejection(self, described: Described) -> ImagesRejected | None:
        of_study = self._rejected.get(described.instance.study_instance_uid, {})
        found = of_study.get(described.instance.sop_instance_uid)
        return found if found and found.holds_for(described.arrival.received_at) else None

    def _unit(self, instance: Instance, package: ModelPackage) -> Unit:
        key = UnitKey(
            instance.study_instance_uid,
            instance.series_instance_uid,
            instance.sop_instance_uid if package.unit == "instance" else "",
            package.name,
        )
        return self._units.setdefault(key, Unit(key, package))

    def _note(self, unit: Unit) -> None:
        if unit.is_open:
            self._open[unit.key] = unit
        else:
            self._open.pop(unit.key, None)

    def _tidy(self, now: float) -> None:
        if now - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = now
        before = now - _REMEMBERED
        for key in [k for k, u in self._units.items() if u.touched_at < before and not u.is_open]:
            del self._units[key]
            self._put_away.add(key.study_instance_uid)
        for study in [uid for uid, urged in self._urged.items() if urged.at < before]:
            del self._urged[study]
            self._put_away.add(study)
        for study, held in tuple(self._rejected.items()):
            if all(event.at < before for event in held.values()):
                del self._rejected[study]
                self._put_away.add(study)
        for association in [a for a, at in self._closed.items() if at < before]:
            del self._closed[association]


def _listed(instance: Instance, reason: ListedReason, detail: str) -> InstanceListed:
    return InstanceListed(
        instance.study_instance_uid,
        instance.sop_instance_uid,
        instance.sha256,
        reason,
        detail,
    )


def _without_model(
    instance: Instance, matches: Sequence[Match], decision: Decision
) -> InstanceListed:
    if not matches:
        models = ", ".join(decision.models)
        detail = (
            f"{decision.rule} asks for {models}: not served" if models else "no model is served"
        )
        return _listed(instance, ListedReason.NO_MODEL, detail)
    # What almost fitted is worth more to a reader than what is made for other images.
    near = [answer for answer in matches if answer.refused is ListedReason.NOT_APPLICABLE]
    if not near and not instance.sop_class_uid.startswith(STANDARD_ROOT):
        detail = f"SOP class {instance.sop_class_uid} is private: no model takes it"
        return _listed(instance, ListedReason.NOT_APPLICABLE, detail)
    reason = ListedReason.NOT_APPLICABLE if near else ListedReason.NO_MODEL
    told = "; ".join(f"{answer.package.name}: {answer.reason}" for answer in near or matches)
    return _listed(instance, reason, told)
