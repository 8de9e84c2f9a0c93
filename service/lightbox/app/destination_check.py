"""What ``[[destinations]]`` say that no single key can show to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from lightbox.deliver.access.secret import authorisation
from lightbox.deliver.access.tls import client_context
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.hours import Hours
from lightbox.settings import DestinationSettings, Settings


def destination_problems(settings: Settings) -> Iterator[ConfigurationError]:
    """Yield what would stop results, or let them travel otherwise than they are meant to."""
    names = Counter(each.name for each in settings.destinations)
    for number, each in enumerate(settings.destinations):
        key = f"destinations[{number}] {each.name}"
        if not each.ae_title and not each.stow:
            yield ConfigurationError(key, "has neither ae_title nor stow", "add one of the two")
        if each.to == "sender" and not (each.ae_title or each.sends_as):
            yield ConfigurationError(
                f"{key}: to", "nobody knows what it calls us with", "list that in sends_as"
            )
        yield from _hours(key, each)
        yield from _access(key, each)
    for name in (name for name, count in names.items() if count > 1):
        yield ConfigurationError(f"destinations {name}", "is there twice", "rename one")


def _hours(key: str, given: DestinationSettings) -> Iterator[ConfigurationError]:
    try:
        Hours.read(given.window or "00:00-00:00")
    except ValueError as error:
        yield ConfigurationError(f"{key}: window", f"found {given.window!r}", str(error))


def _access(key: str, given: DestinationSettings) -> Iterator[ConfigurationError]:
    """Nothing that is to be secret or encrypted may silently not be so."""
    tls, web = given.tls, urlsplit(given.stow).scheme
    has_secret = bool(given.token.get_secret_value() or given.user)
    if has_secret and not given.stow:
        yield ConfigurationError(
            f"{key}: token, user", "C-STORE knows no such secret", "use tls with a certificate"
        )
    if given.token.get_secret_value() and given.user:
        yield ConfigurationError(f"{key}: token, user", "are both given", "keep one of the two")
    wants_tls = bool(tls.ca or tls.certificate or tls.key or tls.name)
    if wants_tls and web == "http":
        yield ConfigurationError(f"{key}: tls", "is for https", "write stow = https://…")
    elif wants_tls and not given.stow and not tls.ca:
        yield ConfigurationError(
            f"{key}: tls",
            "names no ca: TLS would not be spoken",
            'name who signed its certificate, or "system"',
        )
    elif wants_tls or web == "https":
        yield from _failure(lambda: client_context(tls, f"{key}: tls"))
    if has_secret and given.stow:
        yield from _failure(lambda: authorisation(given))


def _failure(what: Callable[[], object]) -> Iterator[ConfigurationError]:
    try:
        what()
    except ConfigurationError as error:
        yield error
