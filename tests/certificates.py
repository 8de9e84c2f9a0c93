"""Certificates for tests, made with openssl: an authority and whom it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is in ``ca``."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", self._key, "-out", self.ca,
                 "-subj", f"/CN={name}", "-days", "2")  # fmt: skip

    def sign(self, name: str, *alternatives: str, days: int = 2) -> Signed:
        """Make a certificate, for these names: "DNS:pacs", "IP:127.0.0.1"."""
        made = Signed(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        extra = ["-addext", f"subjectAltName={','.join(alternatives)}"] if alternatives else []
        _openssl("req", "-x509", *_NEW_KEY, "-keyout", made.key, "-out", made.certificate,
                 "-subj", f"/CN={name}", "-days", days, "-CA", self.ca, "-CAkey", self._key,
                 "-addext", "basicConstraints=critical,CA:FALSE", *extra)  # fmt: skip
        return made


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
