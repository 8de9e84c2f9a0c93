"""Does a destination answer, and if not, why: asked by ``lightbox echo`` and by the console."""

from __future__ import annotations

from pathlib import Path

from lightbox.app.build import destination
from lightbox.domain.errors import DeliveryError
from lightbox.ports import Clock
from lightbox.settings import DestinationSettings, Settings


def reach(node: DestinationSettings, settings: Settings, clock: Clock) -> dict[str, object]:
    """Ask a node (C-ECHO; for DICOMweb, a request to its root).

    Returns
    -------
    dict
        As ``echo --json`` writes it: ``name, address, ok, seconds, reason, mend, answer``.
    """
    where = address_of(node)
    asked = destination(node, settings, Path(settings.data_dir))
    began = clock.monotonic()
    answer = {"name": node.name, "address": where, "ok": True, "seconds": 0.0}
    try:
        asked.echo()
    except DeliveryError as error:
        return answer | {
            "ok": False,
            "reason": error.reason,
            "mend": error.mend,
            "answer": str(error),
        }
    finally:
        asked.close()
    seconds = clock.monotonic() - began
    said = f"{node.name} ({where}) answers in {1000 * seconds:.0f} ms"
    return answer | {"seconds": seconds, "reason": "", "mend": "", "answer": said}


def address_of(node: DestinationSettings) -> str:
    """Return where a node is, in one word."""
    return node.stow or f"{node.ae_title}@{node.host}:{node.port}"
