"""Return to sender: who sent what a job is about, and whether a destination is that node."""

from __future__ import annotations

from lightbox.domain.events import InstanceStored
from lightbox.domain.instance_facts import key_of
from lightbox.domain.jobs import Job
from lightbox.ports import Ledger
from lightbox.settings import DestinationSettings


def senders(ledger: Ledger, job: Job) -> frozenset[str]:
    """Return the calling AE titles that brought the instances of a job."""
    wanted = {key_of(instance) for instance in job.instances}
    arrived = (row.event for row in ledger.timeline(job.study_instance_uid))
    return frozenset(
        event.arrival.calling_ae
        for event in arrived
        if isinstance(event, InstanceStored) and key_of(event.instance) in wanted
    )


def titles(given: DestinationSettings) -> frozenset[str]:
    """Return the AE titles that a destination sends with."""
    return frozenset(given.sends_as or (given.ae_title,))
