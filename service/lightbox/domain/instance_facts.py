"""What is known of one instance: that it was stored, listed, and who wants to run on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from lightbox.domain.events import FilesRemoved, InstanceListed, InstanceStored, StudyReady
from lightbox.domain.job_facts import nothing
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Instance

InstanceKey: TypeAlias = tuple[str, str]
"""SOP Instance UID and SHA-256: the same UID with other bytes is another instance."""

Content: TypeAlias = tuple[str, frozenset[InstanceKey]]
"""A model's name, and what it is to be run on: what a ready unit and its job have in common."""


@dataclass(frozen=True, slots=True)
class ReadyUnit:
    """A unit that is ready, with what its job must contain."""

    ready: StudyReady
    content: Content


@dataclass(slots=True)
class InstanceFacts:
    """Collects the facts; ``stored`` is None until the instance is known to be accepted.

    What most instances never have takes no memory of theirs.
    """

    stored: InstanceStored | None = None
    torn: frozenset[int] = frozenset()
    listed: Mapping[str, tuple[float, InstanceListed]] = field(default_factory=nothing)
    ready: tuple[ReadyUnit, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def is_torn(self) -> bool:
        """Whether its file was lost before its sender was answered, and has not come again."""
        return self.stored is not None and self.stored.again in self.torn

    @property
    def rejected(self) -> InstanceListed | None:
        """Who rejected it, None where nobody did."""
        found = self.listed.get(ListedReason.REJECTED)
        return found[1] if found else None

    def knows(self, event: StudyReady, content: Content) -> bool:
        """Say whether this unit is among those that are ready, whichever writer said it."""
        return any(
            unit.content == content
            and unit.ready.revision == event.revision
            and unit.ready.series_instance_uid == event.series_instance_uid
            for unit in self.ready
        )

    def newest_listing(self) -> InstanceListed | None:
        """Return the last reason why there is no result, None where it was never listed."""
        return max(self.listed.values(), key=_order)[1] if self.listed else None


def key_of(instance: Instance) -> InstanceKey:
    """Return what tells an instance apart."""
    return (instance.sop_instance_uid, instance.sha256)


def content_of(model: str, instances: tuple[Instance, ...]) -> Content:
    """Return what tells apart what a model is to be run on."""
    return (model, frozenset(key_of(instance) for instance in instances))


def with_removal(known: tuple[FilesRemoved, ...], event: FilesRemoved) -> tuple[FilesRemoved, ...]:
    """Return the removals of a study with one more, in their order and each once."""
    numbered = {each.number: each for each in (*known, event)}
    return tuple(numbered[number] for number in sorted(numbered))


def _order(listed: tuple[float, InstanceListed]) -> tuple[float, str]:
    return (listed[0], listed[1].reason)
