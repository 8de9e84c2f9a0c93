"""Where things are in the data directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Settings
from lightbox.storage.files import Files


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in the data directory."""

    root: Path

    @property
    def ledger(self) -> Path:
        """Folder of the hash chains."""
        return self.root / "ledger"

    @property
    def queue(self) -> Path:
        """The queue's own database."""
        return self.root / "queue.sqlite"

    @property
    def values(self) -> Path:
        """Folder of the audits' v(S), for resume and replay."""
        return self.root / "jobs"


def layout(settings: Settings) -> Layout:
    """Return the places of this configuration; makes the folder where it is missing."""
    root = Path(settings.data_dir).expanduser().resolve()
    try:
        Files().make_folder(root)
    except OSError as error:
        raise ConfigurationError(
            f"data_dir {root}", error.strerror or str(error), "name a folder that can be written"
        ) from error
    return Layout(root)
