"""One C-ECHO over an association of its own, and what the peer accepted."""

from __future__ import annotations

from collections.abc import Iterable

from lightbox.deliver.association import VERIFICATION, Association, Peer
from lightbox.deliver.status import REJECTED, DestinationError
from lightbox.domain.identity import ae_title

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0

CALLING_NOT_KNOWN = REJECTED[1, 3].meaning
CALLED_WRONG = REJECTED[1, 7].meaning


def peer_at(
    address: tuple[str, int], called: str, calling: str, answer_seconds: float = ANSWER_SECONDS
) -> Peer:
    """Return whom to call, as whom.

    Raises
    ------
    ConfigurationError
        If an AE title is none.
    """
    host, port = address
    titles = ae_title(called), ae_title(calling)
    return Peer("node", titles[0], host, port, titles[1], CONNECT_SECONDS, answer_seconds)


def echo(peer: Peer, contexts: Iterable[tuple[str, str]] = ()) -> frozenset[tuple[str, str]]:
    """Propose C-ECHO and these contexts, send C-ECHO, end; return the contexts accepted.

    Raises
    ------
    DestinationError
        With the cause.
    """
    association = Association(peer, [VERIFICATION, *contexts])
    try:
        association.echo()
        return association.accepted
    finally:
        association.close()


def why_not(peer: Peer) -> DestinationError | None:
    """Send C-ECHO; return why there was no answer, or None."""
    try:
        echo(peer)
    except DestinationError as error:
        return error
    return None
