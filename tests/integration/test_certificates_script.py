"""The certificates that deploy/certificates.sh makes let peers in, and nobody else."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from lightbox.receive.wire.tls import Certificates, tls_context
from lightbox.settings import Tls

SCRIPT = Path(__file__).parents[2] / "deploy" / "certificates.sh"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    assert make(str(made), "localhost").returncode == 0
    said = make(str(made), "127.0.0.1", "CT1")
    assert (said.returncode, "CT1 at 127.0.0.1" in said.stdout) == (0, True), said.stderr
    return made


def client(folder: Path, prefix: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if prefix:
        context.load_cert_chain(folder / f"{prefix}cert.pem", folder / f"{prefix}key.pem")
    return context


def shake_hands(folder: Path, context: ssl.SSLContext) -> list[object]:
    """Return what the listener's side knows of its peer after the handshake: name, or an error."""
    given = {name: str(folder / f"{name}.pem") for name in ("key", "ca")}
    ours, theirs = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        try:
            server = tls_context(Tls(certificate=str(folder / "cert.pem"), **given))
            with server.wrap_socket(ours, server_side=True) as wrapped:
                peer: Any = wrapped.getpeercert()
                seen.append(dict(pair for (pair,) in peer["subject"])["commonName"])
                wrapped.sendall(b"x")
        except ssl.SSLError as error:
            seen.append(type(error))

    listener = threading.Thread(target=serve)
    listener.start()
    try:
        with context.wrap_socket(theirs, server_hostname="localhost") as wrapped:
            wrapped.recv(1)
    except OSError:
        theirs.close()
    listener.join(30)
    ours.close()
    return seen


def test_a_peer_with_its_certificate_is_let_in_and_known_by_its_ae_title(folder: Path) -> None:
    assert shake_hands(folder, client(folder, "CT1-")) == ["CT1"]


def test_a_peer_without_a_certificate_is_not_let_in(folder: Path) -> None:
    (seen,) = shake_hands(folder, client(folder))
    assert isinstance(seen, type)
    assert issubclass(seen, ssl.SSLError)


def test_keys_are_for_their_owner_and_the_authority_stays_when_one_is_renewed(folder: Path) -> None:
    authority, before = (folder / "ca.pem").read_bytes(), (folder / "cert.pem").read_bytes()
    assert make(str(folder), "localhost").returncode == 0
    assert (folder / "ca.pem").read_bytes() == authority
    assert (folder / "cert.pem").read_bytes() != before
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*key.pem")} == {0o600}


def test_renewed_files_are_in_force_for_the_next_connection_and_broken_ones_are_not(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    names = {name: str(mine / f"{name}.pem") for name in ("key", "ca")}
    certificates = Certificates(Tls(certificate=str(mine / "cert.pem"), **names))
    first = certificates.context()
    assert certificates.context() is first
    assert make(str(mine), "localhost").returncode == 0
    second = certificates.context()
    assert second is not first
    (mine / "key.pem").write_text("no key at all")
    assert certificates.context() is second
    assert "the old certificates stay in force" in caplog.text


@pytest.mark.parametrize("arguments", [[], ["folder"], ["folder", "host", "../CT1"]])
def test_wrong_use_makes_nothing_and_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    named = [str(tmp_path / "tls"), *arguments[1:]] if arguments else []
    assert make(*named).returncode == 2
    assert not (tmp_path / "tls").exists()
