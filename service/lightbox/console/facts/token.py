"""The console's token where the configuration says ``token = "auto"``: made at the first start."""

from __future__ import annotations

import secrets
from pathlib import Path

from lightbox.app.operate.switch import put
from lightbox.storage.files import Files

AUTO = "auto"
FILE = "console-token"
"""In the data directory, readable by its owner alone."""


def token_of(configured: str, root: Path, files: Files) -> str:
    """Return the token in force; makes one where it is to be made and none is there yet."""
    if configured != AUTO:
        return configured
    path = root / FILE
    if not path.exists():
        put(files, path, f"{secrets.token_hex(32)}\n".encode())
    return path.read_text(encoding="ascii").strip()
