"""Notices that images of one study name different patients, as after a merge or a correction.

Images are compared in the order of their arrival. What is known of a study is the newest image
that named a patient; from a former run it is found in the ledger and read again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from lightbox.domain.errors import UnreadableError
from lightbox.domain.events import InstanceListed, InstanceStored, Recorded
from lightbox.domain.patient import PATIENT, PatientChanged, differing
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Attributes, Described, Instance
from lightbox.ports import Ledger
from lightbox.receive.header import patient_digests

_MOST = 10_000
"""Studies of which more than the name is remembered: many may wait for their destination."""

Describe = Callable[[str], Attributes]
"""Path of a stored file, relative to the data directory → its header attributes."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Who the patient of a study is, by the newest image that said so."""

    digests: Mapping[str, str]
    sop_instance_uid: str
    received_at: float
    noted: frozenset[str] = frozenset()


class Patients:
    """Compares each image with the one before it, study by study.

    Parameters
    ----------
    ledger : Ledger
        Tells which changes are recorded already.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, _Known] = {}
        self._recalled: set[str] = set()

    def recall(self, history: Iterable[Recorded]) -> None:
        """Remember that a study has images of a former run: they count when another one comes."""
        stored = {row.event.study for row in history if isinstance(row.event, InstanceStored)}
        self._recalled |= stored - self._known.keys()

    def forget(self, studies: Collection[str]) -> None:
        """Drop what is known of settled studies; :meth:`recall` brings it back."""
        for study in studies:
            self._known.pop(study, None)
            self._recalled.discard(study)

    def look(self, described: Described, describe: Describe) -> tuple[PatientChanged, ...]:
        """Return the change that an image is, () where it names the patient as before.

        Of images that come over one association and differ in turns, the first says so.
        """
        instance, arrival = described.instance, described.arrival
        study, now = instance.study_instance_uid, patient_digests(described.attributes)
        known = self._known.get(study) or self._from_earlier(described, describe)
        if known is None:
            self._know(study, _Known(now, instance.sop_instance_uid, arrival.received_at))
            return ()
        if arrival.received_at < known.received_at:
            return ()
        changed = differing(known.digests, now)
        mark = f"{arrival.association}:{sorted(now.items())}"
        if changed and mark in known.noted:
            return ()
        noted = known.noted | {mark} if changed else known.noted
        merged = {**known.digests, **now}
        self._know(study, _Known(merged, instance.sop_instance_uid, arrival.received_at, noted))
        return self._event(instance, known.sop_instance_uid, changed) if changed else ()

    def _know(self, study: str, known: _Known) -> None:
        """Keep it, and of the study that was quiet for longest only that it is there."""
        self._known.pop(study, None)
        self._known[study] = known
        if len(self._known) > _MOST:
            quietest = next(iter(self._known))
            del self._known[quietest]
            self._recalled.add(quietest)

    def _from_earlier(self, described: Described, describe: Describe) -> _Known | None:
        """Read the newest images of a former run that came before this one, of each series one.

        The first of them that states an attribute says it: a report may leave out what images
        state. What is gone or damaged is found by others; an older one speaks for it here.
        """
        instance, arrived = described.instance, described.arrival.received_at
        study = instance.study_instance_uid
        if study not in self._recalled:
            return None
        self._recalled.discard(study)
        digests, read = dict[str, str](), dict[str, InstanceStored]()
        for stored in self._others(instance, arrived):
            if stored.instance.series_instance_uid in read:
                continue
            try:
                stated = patient_digests(describe(stored.instance.path))
            except (UnreadableError, OSError):
                continue
            digests = {**stated, **digests}
            read[stored.instance.series_instance_uid] = stored
            if digests.keys() >= set(PATIENT):
                break
        if not read:
            return None
        newest = next(iter(read.values()))
        return _Known(digests, newest.instance.sop_instance_uid, newest.arrival.received_at)

    def _others(self, instance: Instance, until: float) -> list[InstanceStored]:
        """Return the other instances of a study that came until then, the newest first; not ours."""
        events = [row.event for row in self._ledger.timeline(instance.study_instance_uid)]
        known = {_name(instance)} | {
            (event.sop_instance_uid, event.sha256)
            for event in events
            if isinstance(event, InstanceListed) and event.reason is ListedReason.OWN_RESULT
        }
        found = [
            event
            for event in events
            if isinstance(event, InstanceStored)
            and event.arrival.received_at <= until
            and _name(event.instance) not in known
        ]
        return sorted(found, key=lambda stored: stored.arrival.received_at, reverse=True)

    def _event(
        self, instance: Instance, before: str, changed: tuple[str, ...]
    ) -> tuple[PatientChanged, ...]:
        number = 0
        while row := self._ledger.find(PatientChanged.key_of(instance.study_instance_uid, number)):
            found = row.event
            if isinstance(found, PatientChanged) and _name(found.instance) == _name(instance):
                return ()
            number += 1
        return (PatientChanged(number, instance, before, changed),)


def _name(instance: Instance) -> tuple[str, str]:
    return instance.sop_instance_uid, instance.sha256
