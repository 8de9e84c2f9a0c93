"""Weak settings, one finding each: what a person at the network or on this machine could use.

On loopback the listener and the console are open to this machine alone: that is not called weak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from lightbox.settings import (
    DestinationSettings,
    Dicom,
    Limits,
    Loaded,
    Web,
    WebhookSettings,
)
from lightbox.tools.doctor_checks.addresses import is_here, is_loopback, resolved
from lightbox.tools.doctor_checks.finding import Finding, note, wrong
from lightbox.tools.doctor_checks.machine import OTHERS, user

_SHORTEST_TOKEN = 16
_WRITABLE = 0o022
"""Permission bits to write of group and others."""
_SECRETS = ("web.token", "database.url")


def weak_settings(loaded: Loaded) -> Iterator[Finding]:
    """Yield everything that is weak; nothing where nothing is."""
    settings = loaded.settings
    yield from _listener(settings.dicom)
    yield from _tls(settings.dicom)
    yield from _limits(settings.dicom.limits)
    yield from _web(settings.web)
    for given in settings.destinations:
        yield from _destination(given)
    for hook in settings.webhooks:
        yield from _webhook(hook)
    if settings.logging.uids == "plain":
        yield wrong(
            "logging.uids",
            "UIDs stand in the log in plain: whoever reads it can find the patients",
            'set "hashed"',
        )
    yield from _data_dir(Path(settings.data_dir))
    yield from _config_file(loaded.file, _secrets(loaded))
    yield from _models(Path(settings.models.path))


def _listener(dicom: Dicom) -> Iterator[Finding]:
    if is_loopback(dicom.host):
        return
    tls, listed = dicom.tls.certificate, dicom.accept_calling
    if dicom.insecure:
        yield wrong(
            "dicom.insecure",
            f"anyone who reaches {dicom.host}:{dicom.port} may send, without TLS and without a list",
            "remove it, and list accept_calling or set up TLS",
        )
    if listed or dicom.insecure:
        beside = " beside TLS" if tls else ""
        yield wrong(
            "dicom.port",
            f"plain DICOM is answered on {dicom.host}:{dicom.port}{beside}: images travel readable",
            "close this port in the firewall and let peers use dicom.tls.port"
            if tls
            else "set dicom.tls.certificate, key and ca",
        )
    if not listed:
        yield wrong(
            "dicom.accept_calling", "is empty: any AE title is let in", 'list each as "AET@IP"'
        )
    for entry in listed:
        if "@" not in entry and not (tls and dicom.tls.require_client):
            yield wrong(
                "dicom.accept_calling",
                f'"{entry}" is let in from any address, and anyone can call himself so',
                f'write "{entry}@IP"',
            )


def _tls(dicom: Dicom) -> Iterator[Finding]:
    tls = dicom.tls
    if not tls.certificate:
        return
    if not tls.require_client:
        yield wrong(
            "dicom.tls.require_client",
            "peers without a certificate are let in",
            "set it to true, and dicom.tls.ca to who signed theirs",
        )
    elif not tls.bind_ae:
        yield wrong(
            "dicom.tls.bind_ae",
            "a peer with any certificate of dicom.tls.ca may call itself by any AE title",
            "set it to true where the peers' certificates name their AE titles",
        )
    key = Path(tls.key)
    if tls.key and key.exists() and key.stat().st_mode & OTHERS:
        yield wrong("dicom.tls.key", f"{key} {_open_to_others(key)}", f"chmod 600 {key}")


def _limits(limits: Limits) -> Iterator[Finding]:
    usual = Limits().model_dump()
    raised = [key for key, value in limits.model_dump().items() if value > usual[key]]
    if raised:
        yield note(
            "dicom.limits",
            f"above the tested defaults: {', '.join(raised)}",
            "lower them again where nothing needs them",
        )


def _web(web: Web) -> Iterator[Finding]:
    if web.token and len(web.token) < _SHORTEST_TOKEN:
        yield wrong(
            "web.token",
            f"has fewer than {_SHORTEST_TOKEN} characters and can be guessed",
            "openssl rand -hex 32",
        )
    if not is_loopback(web.host):
        yield wrong(
            "web.host",
            f"the console is served on {web.host}:{web.port} without TLS: its token can be read",
            "listen on 127.0.0.1 behind a proxy with TLS",
        )


def _destination(given: DestinationSettings) -> Iterator[Finding]:
    name = f"destinations.{given.name}"
    if given.stow:
        address = urlsplit(given.stow)
        if address.scheme == "http" and not _stays_here(address.hostname or ""):
            yield wrong(
                name, f"{given.stow} is not encrypted: results travel readable", "use https://"
            )
    elif not given.tls.ca and not _stays_here(given.host):
        yield wrong(
            name,
            f"C-STORE to {given.host} is not encrypted: results travel readable",
            "set tls.ca, use stow = https://…, or a tunnel (VPN) to the PACS",
        )
    tls = given.tls
    if not tls.check_name:
        yield wrong(
            f"{name}.tls.check_name",
            "any certificate of tls.ca will do: another node may take its place",
            "remove it, and set tls.name to the name in its certificate",
        )
    key = Path(tls.key)
    if tls.key and key.exists() and key.stat().st_mode & OTHERS:
        yield wrong(f"{name}.tls.key", f"{key} {_open_to_others(key)}", f"chmod 600 {key}")
    for what, secret in (("token", given.token), ("password", given.password)):
        kind, _, where = secret.get_secret_value().partition(":")
        file = Path(where)
        if kind == "file" and _seen(file) and file.stat().st_mode & OTHERS:
            yield wrong(f"{name}.{what}", f"{file} {_open_to_others(file)}", f"chmod 600 {file}")


def _webhook(given: WebhookSettings) -> Iterator[Finding]:
    name, address = f"webhooks.{given.name}", urlsplit(given.url)
    if address.scheme == "http" and not _stays_here(address.hostname or ""):
        what = "findings and UIDs" if given.patient_data else "what happens here"
        yield wrong(name, f"{given.url} is not encrypted: {what} can be read", "use https://")
    kind, _, where = given.secret.get_secret_value().partition(":")
    file = Path(where)
    if kind == "file" and _seen(file) and file.stat().st_mode & OTHERS:
        yield wrong(f"{name}.secret", f"{file} {_open_to_others(file)}", f"chmod 600 {file}")


def _stays_here(host: str) -> bool:
    return any(map(is_here, resolved(host)))


def _data_dir(root: Path) -> Iterator[Finding]:
    if not root.exists():
        return
    if root.stat().st_mode & OTHERS:
        yield wrong("data_dir", f"{root} {_open_to_others(root)}", f"chmod 700 {root}")
    if root.stat().st_uid == 0:
        yield note(
            "user",
            f"{root} belongs to root: the service runs as root",
            "useradd --system lightbox; chown -R lightbox data_dir; run as that user",
        )
    key = root / "log.key"
    if _seen(key) and key.stat().st_mode & OTHERS:
        yield wrong(
            "log.key",
            f"{key} {_open_to_others(key)}: with it UIDs in the log can be recognised",
            f"chmod 600 {key}",
        )


def _secrets(loaded: Loaded) -> list[str]:
    """Name the keys whose secrets stand in the file itself."""
    plain = [key for key in _SECRETS if loaded.sources.get(key) == loaded.file]
    if loaded.sources.get("webhooks") == loaded.file:
        plain.extend(
            f"webhooks.{hook.name}.secret"
            for hook in loaded.settings.webhooks
            if not hook.secret.get_secret_value().startswith(("file:", "env:"))
        )
    if loaded.sources.get("destinations") != loaded.file:
        return plain
    for given in loaded.settings.destinations:
        for name, secret in (("token", given.token), ("password", given.password)):
            text = secret.get_secret_value()
            if text and not text.startswith(("file:", "env:")):
                plain.append(f"destinations.{given.name}.{name}")
    return plain


def _config_file(file: str, secret: Sequence[str]) -> Iterator[Finding]:
    path = Path(file)
    if not file or not path.exists():
        return
    mode = path.stat().st_mode
    if mode & _WRITABLE:
        yield wrong(
            "configuration", f"other users can change {file} (mode {mode & 0o777:04o})", "chmod 640"
        )
    if secret and mode & 0o004:
        yield wrong(
            "configuration",
            f"every user of this machine can read {' and '.join(secret)} in {file}",
            f"chmod 640 {file}, with the service's group",
        )


def _models(folder: Path) -> Iterator[Finding]:
    for path in _first_of_each(folder):
        yield wrong(
            "models.path",
            f"other users can change {path} (owner {user(path.stat().st_uid)}), and so every answer",
            f"chmod -R go-w {folder}",
        )
        return


def _first_of_each(folder: Path) -> Iterable[Path]:
    inside = (path for package in folder.glob("*/model.toml") for path in package.parent.iterdir())
    every = (folder, *folder.glob("*/"), *inside) if folder.is_dir() else ()
    return (path for path in every if path.stat().st_mode & 0o002)


def _open_to_others(path: Path) -> str:
    return f"is open to other users of this machine (mode {path.stat().st_mode & 0o777:04o})"


def _seen(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the data directory is closed to us: then also to others
        return False
