"""``lightbox models check``: a package in a real runtime, with a real decoder."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from lightbox.infer.decode import DecodePool
from lightbox.infer.package_check import CheckLine, check
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.ports import Runtime
from lightbox.settings import Settings


def check_package(folder: Path, settings: Settings) -> list[CheckLine]:
    """Ask everything that can be asked of the package in ``folder``."""
    given = settings.worker

    def start(loaded: LoadedPackage) -> Runtime:
        return OnnxRuntime(loaded, given.device, given.threads, given.max_batch)

    with closing(DecodePool(1, settings.dicom.limits)) as decode:
        return check(folder, start, decode)
