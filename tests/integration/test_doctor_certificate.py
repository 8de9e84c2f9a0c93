"""The doctor looks at the listener's certificate by a real handshake."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lightbox.app.clock import SystemClock
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Tls
from lightbox.tools.doctor_checks.certificate import certificate
from lightbox.tools.doctor_checks.finding import Finding

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def tls(folder: Path, *dates: str, name: str = "lightbox") -> Tls:
    """Make a certificate of its own authority with openssl."""
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", key, "-out", pem, "-subj", f"/CN={name}", *dates],
        check=True, capture_output=True,
    )  # fmt: skip
    return Tls(certificate=str(pem), key=str(key), ca=str(pem))


def the_one(given: Tls) -> Finding:
    (only,) = certificate(given, SystemClock())
    return only


def test_a_certificate_for_a_year_is_well_and_its_end_is_said(tmp_path: Path) -> None:
    found = the_one(tls(tmp_path, "-days", "365"))
    assert found.verdict == "ok"
    assert "is valid until 20" in found.words
    assert "peers need a certificate" in found.words


def test_a_certificate_that_ends_soon_is_a_note(tmp_path: Path) -> None:
    found = the_one(tls(tmp_path, "-days", "9"))
    assert found.verdict == "note"
    assert "9 days from now" in found.words


def ended(folder: Path) -> Tls:
    """Make a certificate of 2020: only an authority can date one back."""
    given = tls(folder)
    authority = folder / "ca.cnf"
    authority.write_text(
        f"[ca]\ndefault_ca = a\n[a]\ndatabase = {folder}/index\nnew_certs_dir = {folder}\n"
        "rand_serial = yes\ndefault_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n"
    )
    (folder / "index").touch()
    request, old = folder / "old.csr", folder / "old.pem"
    for command in (
        ["req", "-new", "-key", given.key, "-subj", "/CN=old", "-out", request],
        ["ca", "-batch", "-selfsign", "-config", authority, "-keyfile", given.key, "-in", request,
         "-out", old, "-notext", "-startdate", "200101000000Z", "-enddate", "210101000000Z"],
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    return given.model_copy(update={"certificate": str(old)})


def test_a_certificate_that_has_ended_is_wrong(tmp_path: Path) -> None:
    found = the_one(ended(tmp_path))
    assert not found.ok
    assert "certificate has expired" in found.words


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    mixed = tls(tmp_path).model_copy(update={"key": tls(tmp_path, name="other").key})
    with pytest.raises(ConfigurationError, match="key values mismatch"):
        the_one(mixed)


def test_without_tls_there_is_nothing_to_say() -> None:
    assert not list(certificate(Tls(), SystemClock()))
