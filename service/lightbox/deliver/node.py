"""A destination as the configuration describes it."""

from __future__ import annotations

from pathlib import Path

from lightbox.deliver.cstore import CStore
from lightbox.deliver.stow import Stow
from lightbox.ports import Destination
from lightbox.settings import DestinationSettings


def destination(settings: DestinationSettings, calling_ae: str, root: Path) -> Destination:
    """Return the destination, not yet connected.

    Parameters
    ----------
    settings : DestinationSettings
        ``stow`` decides between DICOMweb and C-STORE.
    calling_ae : str
        Our AE title.
    root : Path
        Data directory: the paths of results are relative to it.
    """
    if settings.stow:
        return Stow(settings, root)
    return CStore(settings, calling_ae, root)
