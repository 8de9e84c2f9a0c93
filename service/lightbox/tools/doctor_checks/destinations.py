"""The way there: whether each destination answers us and takes what we make."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pydicom.uid import UID

from lightbox.deliver.association import VERIFICATION, peer_of
from lightbox.deliver.status import NETWORK, DestinationError, Network
from lightbox.deliver.stow import Stow
from lightbox.deliver.transcode import EXPLICIT, IMPLICIT, offered
from lightbox.domain.commitment import PUSH_MODEL
from lightbox.domain.errors import DeliveryError
from lightbox.results import codes
from lightbox.settings import DestinationSettings, Settings
from lightbox.tools.doctor_checks.call import (
    ANSWER_SECONDS,
    CALLED_WRONG,
    CALLING_NOT_KNOWN,
    echo,
)
from lightbox.tools.doctor_checks.finding import Finding, failed, note, well, wrong

_CAUSES = {
    CALLED_WRONG: "the node at this address does not answer to the AE title {theirs}",
    CALLING_NOT_KNOWN: "the node does not know our AE title {ours}",
    NETWORK[Network.REFUSED].meaning: "nothing listens on this port, or a firewall refuses for it",
    NETWORK[Network.CONNECT_TIMEOUT].meaning: (
        "a firewall drops what we send, or no machine has this address"
    ),
    NETWORK[Network.NO_ROUTE].meaning: "the network knows no way there",
    NETWORK[Network.NAME_UNKNOWN].meaning: "this machine cannot turn the name into an address",
    NETWORK[Network.NOT_DICOM].meaning: (
        "what listens there is no DICOM node, wants TLS, or drops callers it does not know"
    ),
    NETWORK[Network.TLS_WANTED].meaning: "we call it in plain, it answers TLS only",
    NETWORK[Network.TLS_NOT_SPOKEN].meaning: "we call it by TLS, what listens there is plain",
    NETWORK[Network.TLS_OURS].meaning: "the two do not know the same authority",
    NETWORK[Network.TLS_AUTHORITY].meaning: "the two do not know the same authority",
    NETWORK[Network.TLS_NAME].meaning: "we asked for {name}; another node, or one that was renamed",
    NETWORK[Network.TLS_NOTHING_IN_COMMON].meaning: "its software knows old ciphers only",
    NETWORK[Network.NO_ANSWER].meaning: "something listens there, but does not speak DICOM with us",
    NETWORK[Network.NO_CONTEXTS].meaning: "it offers neither C-ECHO nor storage of our results",
}
"""Reason of an error → what it means to a PACS administrator."""


def there(
    given: DestinationSettings, settings: Settings, answer_seconds: float = ANSWER_SECONDS
) -> Iterator[Finding]:
    """Ask one destination by C-ECHO (DICOMweb: a search), and for every class of our results.

    Parameters
    ----------
    given : DestinationSettings
        The destination.
    settings : Settings
        Our AE title, and which results are made.
    answer_seconds : float
        How long to wait for each answer.
    """
    name = f"destination {given.name}"
    began = time.monotonic()
    if given.stow:
        with closing(Stow(given, Path(settings.data_dir))) as web:
            try:
                web.echo()
            except DeliveryError as error:
                yield failed(name, error)
            else:
                yield well(name, f"{given.stow} answers in {_since(began)}")
        return
    try:
        accepted = _accepted(given, settings, answer_seconds)
    except DestinationError as error:
        yield _explained(name, error, given, settings)
        return
    address = f"{given.ae_title}@{given.host}:{given.port}"
    answers = f"{address} answers {_echoed(accepted)} in {_since(began)}"
    yield _taken(name, answers, given, settings, frozenset(sop_class for sop_class, _ in accepted))
    if given.commitment and not any(sop_class == PUSH_MODEL for sop_class, _ in accepted):
        yield note(
            name,
            f"{address} does not offer storage commitment",
            f"switch it on at the PACS, or set commitment = false for {given.name}",
        )


def _accepted(
    given: DestinationSettings, settings: Settings, seconds: float
) -> frozenset[tuple[str, str]]:
    """Return the contexts that it accepts, after a C-ECHO over the same association."""
    asked: list[tuple[str, str]] = [
        (c, s) for c in _classes(given, settings).values() for s in offered(given.syntaxes, c)
    ]
    if given.commitment:
        asked += [(PUSH_MODEL, EXPLICIT), (PUSH_MODEL, IMPLICIT)]
    patient = replace(peer_of(given, settings.dicom.ae_title), answer_seconds=seconds)
    return echo(patient, asked)


def _classes(given: DestinationSettings, settings: Settings) -> dict[str, UID]:
    """Return the SOP classes of what this destination is to get, by the kind's short name."""
    made = settings.results
    report = {"enhanced": codes.ENHANCED_SR, "comprehensive3d": codes.COMPREHENSIVE_3D_SR}
    every = {
        "sc": (made.secondary_capture, codes.SECONDARY_CAPTURE),
        "seg": (made.segmentation, codes.SEGMENTATION),
        "sr": (made.structured_report, report[made.sr_class]),
        "pm": (made.parametric_map, codes.PARAMETRIC_MAP),
        "lesion": (made.segmentation, codes.SEGMENTATION),
        "mosaic": (True, codes.SECONDARY_CAPTURE),
        "slice": (True, codes.SECONDARY_CAPTURE),
        "pr": (True, codes.GRAYSCALE_PRESENTATION_STATE),
        "key": (True, codes.KEY_OBJECT_SELECTION),
        "ko": (True, codes.KEY_OBJECT_SELECTION),
    }
    return {kind: uid for kind, (on, uid) in every.items() if on and kind in given.kinds}


def _taken(
    name: str,
    answers: str,
    given: DestinationSettings,
    settings: Settings,
    accepted: frozenset[str],
) -> Finding:
    classes = _classes(given, settings)
    refused = {kind: uid.name for kind, uid in classes.items() if uid not in accepted}
    if not refused:
        return well(name, f"{answers} and takes {_listed(uid.name for uid in classes.values())}")
    words = f"{answers}, but does not take {_listed(refused.values())}"
    kinds = _listed(f'"{kind}"' for kind in refused)
    mend = f"switch it on at the PACS for our AE title, or leave {kinds} out of `kinds`"
    return wrong(name, words, mend) if "sc" in refused else note(name, words, mend)


def _echoed(accepted: frozenset[tuple[str, str]]) -> str:
    return "C-ECHO" if VERIFICATION in accepted else "(it offers no C-ECHO)"


def _explained(
    name: str, error: DestinationError, given: DestinationSettings, settings: Settings
) -> Finding:
    cause = _CAUSES.get(error.reason, "").format(
        theirs=given.ae_title,
        ours=given.calling_ae or settings.dicom.ae_title,
        name=given.tls.name or given.host,
    )
    said = f"{given.ae_title}@{given.host}:{given.port}: {error.reason}"
    return wrong(name, f"{said}: {cause}" if cause else said, error.mend)


def _listed(each: Iterable[str]) -> str:
    words = list(dict.fromkeys(each))  # two kinds may be of one SOP class
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _since(began: float) -> str:
    return f"{1000 * (time.monotonic() - began):.0f} ms"
