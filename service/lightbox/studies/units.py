"""A unit: the instances that one model looks at together, and what of them is still unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lightbox.domain.events import StudyReady
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.readiness import quiet_period, ready_at
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.study import Instance
from lightbox.domain.urgency import Decision, Urged, Urgency
from lightbox.settings import StudySettings

_UNNUMBERED = 2**31
"""Instances without an Instance Number come last, by UID."""
_AND = "; "
"""Between caveats, as ``match.py`` joins those of one image."""


class UnitKey(NamedTuple):
    """What tells units apart; ``sop_instance_uid`` is "" where the unit is a series."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    model: str


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a unit, with what its arrival and header decided."""

    instance: Instance
    received_at: float
    association: str
    decision: Decision
    number: int | None = None
    caveat: str = ""
    modality: str = ""

    @property
    def position(self) -> tuple[int, str]:
        """Order within the unit: Instance Number (0020,0013), then UID."""
        number = _UNNUMBERED if self.number is None else self.number
        return number, self.instance.sop_instance_uid

    def is_replaced_by(self, instance: Instance) -> bool:
        """Say whether a later revision has other bytes of it, where only the ledger told of it."""
        return not self.association and self.instance.sha256 != instance.sha256


@dataclass(slots=True)
class Unit:
    """Collects members; ``ready`` turns them into an event and starts the next revision."""

    key: UnitKey
    package: ModelPackage
    revision: int = 0
    touched_at: float = 0.0
    _members: dict[str, Member] = field(default_factory=dict)
    _unseen: dict[str, Member] = field(default_factory=dict)
    _seen: dict[str, str] = field(default_factory=dict)
    # Of the unseen members; kept as they come, because every event asks for ``due_at``.
    _associations: set[str] = field(default_factory=set)
    _last_received: float = 0.0
    _urgency: Urgency = Urgency.AUDIT
    _has_lost: bool = False
    _made: int = 0  # the newest revision that this process made

    @property
    def is_open(self) -> bool:
        """Whether its newest revision does not hold what it holds now."""
        return bool(self._unseen) or (self._has_lost and bool(self._members))

    @property
    def is_empty(self) -> bool:
        """Whether it holds no instance at all."""
        return not self._members

    def add(self, member: Member) -> Instance | None:
        """Take an instance in; return the one with the same UID and other bytes that loses.

        The newest bytes win. Bytes that are known already change nothing.
        """
        uid, sha256 = member.instance.sop_instance_uid, member.instance.sha256
        held = self._members.get(uid)
        if held is None:
            self._take_in(member)
            return None
        if held.instance.sha256 != sha256:
            if member.received_at < held.received_at:
                return member.instance
            self._take_in(member)
            return held.instance
        if not held.association:
            # Recalled without its header: now it is known where it belongs.
            self._members[uid] = member
        return None

    def take_out(self, rejected: ImagesRejected) -> bool:
        """Let go of rejected instances; return whether it held one.

        Where a revision held one of them, another without it is due.
        """
        held = ((uid, self._members.get(uid)) for uid in rejected.sop_instance_uids)
        gone = [uid for uid, each in held if each and rejected.holds_for(each.received_at)]
        for uid in gone:
            del self._members[uid]
            self._unseen.pop(uid, None)
            self._has_lost |= self._seen.pop(uid, None) is not None
        urgencies = (member.decision.urgency for member in self._members.values())
        self._urgency = min(urgencies, key=lambda u: u.rank, default=self._urgency)
        return bool(gone)

    def urge(self, urged: Urged) -> None:
        """Give every member the urgency of its study, where that changes it."""
        for uid, member in self._members.items():
            if urged.changes(member.decision.urgency):
                decision = replace(member.decision, urgency=urged.urgency, rule=urged.rule)
                self._members[uid] = replace(member, decision=decision)
                if uid in self._unseen:
                    self._unseen[uid] = self._members[uid]
        urgencies = (member.decision.urgency for member in self._members.values())
        self._urgency = min(urgencies, key=lambda u: u.rank, default=self._urgency)

    def associations_before(self, moment: float) -> set[str]:
        """Return the associations whose unseen instances all came before ``moment``."""
        after = {m.association for m in self._unseen.values() if m.received_at >= moment}
        return {m.association for m in self._unseen.values()} - after

    def recall(self, ready: StudyReady) -> None:
        """Remember a revision that was ready earlier, where this has not come further already."""
        if ready.revision <= self._made:
            return
        decision = Decision(Urgency(ready.urgency), ready.rule, audit=ready.audit)
        self._urgency = min(self._urgency, decision.urgency, key=lambda u: u.rank)
        is_newest = ready.revision >= self.revision
        self.revision = max(self.revision, ready.revision)
        self.touched_at = max(self.touched_at, ready.received_at)
        self._has_lost = False
        numbers = ready.numbers or range(1, len(ready.instances) + 1)  # of 0.1.0 the order alone
        for number, instance in zip(numbers, ready.instances, strict=True):
            self._seen[instance.sop_instance_uid] = instance.sha256
            self._unseen.pop(instance.sop_instance_uid, None)
            held = self._members.get(instance.sop_instance_uid)
            if held is None or (is_newest and held.is_replaced_by(instance)):
                self._members[instance.sop_instance_uid] = Member(
                    instance,
                    ready.received_at,
                    "",
                    decision,
                    number,
                    ready.caveat,
                    ready.modality,
                )

    def due_at(self, settings: StudySettings, closed: Mapping[str, float]) -> float:
        """Return when it is ready, seconds since 1970; ``closed`` maps ended associations."""
        ended = [closed.get(association) for association in self._associations]
        moments = [moment for moment in ended if moment is not None]
        last_released = (
            max(moments, default=self._last_received) if len(moments) == len(ended) else None
        )
        quiet = quiet_period(
            self._urgency,
            ordinary=settings.quiet_period,
            urgent=settings.quiet_period_urgent,
        )
        return ready_at(self._last_received, last_released, quiet, settings.force_after)

    def ready(self) -> StudyReady:
        """Return the next revision: all instances, in order."""
        members = sorted(self._members.values(), key=lambda member: member.position)
        leading = self._leading()
        self._made = self.revision = self.revision + 1
        self._seen = {uid: member.instance.sha256 for uid, member in self._members.items()}
        self._unseen = {}
        self._has_lost = False
        self._associations = set()
        return StudyReady(
            study_instance_uid=self.key.study_instance_uid,
            series_instance_uid=self.key.series_instance_uid,
            instances=tuple(member.instance for member in members),
            model=self.package.name,
            urgency=leading.decision.urgency,
            rule=leading.decision.rule,
            received_at=max(member.received_at for member in members),
            revision=self.revision,
            audit=any(member.decision.audit for member in members),
            caveat=_together(member.caveat for member in members),
            modality=members[0].modality,
            numbers=tuple(member.number for member in members),
        )

    def _take_in(self, member: Member) -> None:
        uid = member.instance.sop_instance_uid
        self._members[uid] = member
        self.touched_at = max(self.touched_at, member.received_at)
        if self._seen.get(uid) != member.instance.sha256:
            self._unseen[uid] = member
            self._associations.add(member.association)
            self._last_received = max(self._last_received, member.received_at)
        self._urgency = min(self._urgency, member.decision.urgency, key=lambda u: u.rank)

    def _leading(self) -> Member:
        """Return the most urgent member; of equals, the first in order."""
        return min(self._members.values(), key=lambda m: (m.decision.urgency.rank, *m.position))


def _together(caveats: Iterable[str]) -> str:
    """Return each caveat once; an image may have several, and one that is recalled has all."""
    each = (caveat for several in caveats for caveat in several.split(_AND))
    return _AND.join(dict.fromkeys(caveat for caveat in each if caveat))
