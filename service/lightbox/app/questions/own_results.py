"""Whether an instance that came is a result of ours: the ledger knows what it sent away.

A PACS that forwards everything sends our results back to us. They carry our Device UID, unless
somebody on the way took it out; their UIDs stay, or nobody could refer to them.
"""

from __future__ import annotations

from collections.abc import Iterable

from lightbox.domain.events import ResultsWritten
from lightbox.domain.study import Instance
from lightbox.ports import Ledger
from lightbox.results import codes

_MADE = frozenset(
    str(uid)
    for uid in (
        codes.SECONDARY_CAPTURE,
        codes.SEGMENTATION,
        codes.ENHANCED_SR,
        codes.COMPREHENSIVE_3D_SR,
        codes.PARAMETRIC_MAP,
        codes.KEY_OBJECT_SELECTION,
        codes.GRAYSCALE_PRESENTATION_STATE,
    )
)
"""SOP classes of results: others are not looked up, there are many of them."""


def is_ours(ledger: Ledger, instance: Instance, destinations: Iterable[str]) -> bool:
    """Say whether the ledger knows this instance as a result of ours."""
    uid = instance.sop_instance_uid
    if instance.sop_class_uid not in _MADE:
        return False
    if any(ledger.find(f"delivered:{uid}:{name}") for name in destinations):
        return True
    written = (row.event for row in ledger.timeline(instance.study_instance_uid))
    return any(
        result.sop_instance_uid == uid
        for event in written
        if isinstance(event, ResultsWritten)
        for result in event.results
    )
