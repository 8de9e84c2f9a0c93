"""The machine: disk, data directory, the user that we run as, what else is installed."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from lightbox.results.validate import validator
from lightbox.settings import Settings
from lightbox.storage.reserve import Reserve
from lightbox.tools.doctor_checks.finding import Finding, note, well, wrong

OTHERS = 0o077
"""Permission bits of group and others."""


def disk(settings: Settings) -> Iterator[Finding]:
    """Compare the free space with the reserve."""
    reserve = Reserve(_nearest(Path(settings.data_dir)), settings.storage.reserve)
    free = f"{reserve.free_bytes() / 1e9:.1f} GB free"
    kept = f"{settings.storage.reserve / 1e9:.1f} GB"
    if reserve.ok():
        yield well("disk", f"{free}, above the reserve of {kept}")
    else:
        yield wrong(
            "disk",
            f"{free} or too few inodes, the reserve is {kept}: instances are refused with 0xA700",
            "free space on the disk of data_dir, or lower storage.reserve",
        )


def data_dir(settings: Settings) -> Iterator[Finding]:
    """Look whether the data directory can be used, and who else could read it."""
    name, root = "data_dir", Path(settings.data_dir)
    me = user(os.geteuid())
    if not root.exists():
        yield _not_there(name, root, me)
        return
    about = root.stat()
    owner, mode = user(about.st_uid), about.st_mode & 0o777
    if not root.is_dir() or not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield wrong(
            name,
            f"{root} (owner {owner}, mode {mode:04o}) cannot be read and written by {me}",
            f"run as its owner: sudo -u {owner} lightbox doctor; or give it to {me}",
        )
    elif mode & OTHERS:
        yield note(
            name,
            f"{root} is open to other users of this machine (mode {mode:04o})",
            f"chmod 700 {root}",
        )
    else:
        yield well(name, f"{root} is writable, owner {owner}, mode {mode:04o}")
    if about.st_uid == 0:
        yield note(
            "user", f"{root} belongs to root: the service runs as root", "give it a user of its own"
        )


def validation() -> Iterator[Finding]:
    """Look for dicom3tools."""
    found = validator()
    if found:
        yield well("validation", f"each result is checked by {found} before it is sent")
    else:
        yield note(
            "validation",
            "dicom3tools is not installed: results are sent without the check by dciodvfy",
            "apt-get install dicom3tools",
        )


def user(number: int) -> str:
    """Return a user's name, or the number of one without a name (containers)."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _not_there(name: str, root: Path, me: str) -> Finding:
    parent = _nearest(root)
    if os.access(parent, os.W_OK | os.X_OK):
        return well(name, f"{root} does not exist yet; the first start makes it, for {me} alone")
    return wrong(
        name,
        f"{root} does not exist, and {me} cannot make it in {parent}",
        f"sudo install -d -m 700 -o {me} {root}",
    )


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())
