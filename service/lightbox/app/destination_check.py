"""What ``[[destinations]]`` and ``[[webhooks]]`` say that no single key can show to be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import SplitResult, urlsplit

from lightbox.deliver.access.secret import authorisation, reveal
from lightbox.deliver.access.tls import client_context
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.hours import Hours
from lightbox.settings import DestinationSettings, DestinationTls, Settings, WebhookSettings

_SECRET = 16
"""Fewest characters of a secret that signs."""


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
        if each.stow:
            yield from _address(f"{key}: stow", each.stow, "use the keys user and password")
        yield from _access(key, each)
    for name in (name for name, count in names.items() if count > 1):
        yield ConfigurationError(f"destinations {name}", "is there twice", "rename one")


def webhook_problems(settings: Settings) -> Iterator[ConfigurationError]:
    """Yield what would keep programs from being told, or from knowing that it was us."""
    names = Counter(each.name for each in settings.webhooks)
    for number, each in enumerate(settings.webhooks):
        key = f"webhooks[{number}] {each.name}"
        yield from _address(f"{key}: url", each.url, "the signature says who we are")
        yield from _tls(key, each.tls, urlsplit(each.url).scheme, "url")
        yield from _failure(partial(_signs, each, f"{key}: secret"))
    for name in (name for name, count in names.items() if count > 1):
        yield ConfigurationError(f"webhooks {name}", "is there twice", "rename one")


def _signs(given: WebhookSettings, key: str) -> None:
    if len(reveal(given.secret, key)) < _SECRET:
        raise ConfigurationError(
            key, f"has fewer than {_SECRET} characters", "openssl rand -hex 32"
        )


def _address(key: str, text: str, instead: str) -> Iterator[ConfigurationError]:
    """Check an address of the web; a password in it would be printed and logged with it."""
    address = urlsplit(text)
    if address.username or address.password:
        yield ConfigurationError(key, "holds a password", instead)
    elif address.scheme not in {"http", "https"} or not address.hostname or not _has_port(address):
        reason = f"{text!r} is not an address of the web"
        yield ConfigurationError(key, reason, "such as https://host:8443/path")


def _has_port(address: SplitResult) -> bool:
    try:
        return address.port != 0
    except ValueError:
        return False


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
    if _wants(tls) and not given.stow and not tls.ca:
        yield ConfigurationError(
            f"{key}: tls",
            "names no ca: TLS would not be spoken",
            'name who signed its certificate, or "system"',
        )
    else:
        yield from _tls(key, tls, web, "stow")
    if has_secret and given.stow:
        yield from _failure(lambda: authorisation(given))


def _wants(tls: DestinationTls) -> bool:
    return bool(tls.ca or tls.certificate or tls.key or tls.name)


def _tls(key: str, tls: DestinationTls, web: str, where: str) -> Iterator[ConfigurationError]:
    if _wants(tls) and web == "http":
        yield ConfigurationError(f"{key}: tls", "is for https", f"write {where} = https://…")
    elif _wants(tls) or web == "https":
        yield from _failure(partial(client_context, tls, f"{key}: tls"))


def _failure(what: Callable[[], object]) -> Iterator[ConfigurationError]:
    try:
        what()
    except ConfigurationError as error:
        yield error
