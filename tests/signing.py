"""Packages signed for tests, by the real signing program with keys and certificates of OpenSSL."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lightbox.infer.signatures.signed import SIGNATURE

AUTHORITY = ("-x509", "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE")
FOR_SIGNING = "keyUsage=critical,digitalSignature"


def openssl(*words: str | Path) -> None:
    """Run OpenSSL, which is what people make keys with."""
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def a_key(root: Path, name: str, curve: str = "prime256v1") -> tuple[Path, Path]:
    """Return a private key and its public half."""
    private, public = root / f"{name}.priv", root / f"{name}.pub"
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", private)
    openssl("ec", "-in", private, "-pubout", "-out", public)
    return private, public


@dataclass(frozen=True)
class Certified:
    """A signer whose certificate comes from an authority by way of another one."""

    key: Path
    certificate: Path
    chain: Path
    root: Path

    @classmethod
    def made(cls, folder: Path, name: str, usage: str = FOR_SIGNING) -> Certified:
        folder.mkdir(exist_ok=True)
        keys = {part: a_key(folder, f"{name}-{part}")[0] for part in ("root", "middle", "leaf")}
        pem = {part: folder / f"{name}-{part}.pem" for part in keys}
        root = ("-subj", f"/CN={name} root", "-key", keys["root"], "-out", pem["root"])
        openssl("req", "-new", *AUTHORITY, *root)
        for part, by, extra in (
            ("middle", "root", "basicConstraints=critical,CA:TRUE,pathlen:0"),
            ("leaf", "middle", usage),
        ):
            openssl(
                *("req", "-new", "-x509", "-days", "20", "-subj", f"/CN={name} {part}"),
                *("-key", keys[part], "-CA", pem[by], "-CAkey", keys[by]),
                *("-addext", extra, "-out", pem[part]),
            )
        return cls(keys["leaf"], pem["leaf"], pem["middle"], pem["root"])


def model_signing(*words: str | Path) -> None:
    """Run the real program, in a process of its own and without a network in reach."""
    subprocess.run(
        [sys.executable, "-m", "model_signing", "sign", *map(str, words)],
        check=True,
        capture_output=True,
        env={"PATH": "", "https_proxy": "http://127.0.0.1:9"},
    )


def signed_by_key(folder: Path, private: Path) -> None:
    model_signing("key", folder, "--private_key", private, "--signature", folder / SIGNATURE)


def signed_by_certificate(folder: Path, signer: Certified) -> None:
    model_signing(
        *("certificate", folder, "--private_key", signer.key),
        *("--signing_certificate", signer.certificate, "--certificate_chain", signer.chain),
        *("--signature", folder / SIGNATURE),
    )
