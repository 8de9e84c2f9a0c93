"""Models and the device that runs them: each is opened, as the service does at its start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lightbox.domain.errors import ConfigurationError, ModelPackageError
from lightbox.infer.packages import LoadedPackage, find
from lightbox.infer.signatures.signed import signature_check
from lightbox.settings import Settings, Worker
from lightbox.tools.doctor_checks.finding import Finding, failed, note, well, wrong

_DRIVER = Path("/proc/driver/nvidia/version")


def models(settings: Settings) -> Iterator[Finding]:
    """Load every package that is enabled and open it; say which device runs them and why."""
    try:
        signatures = signature_check(settings.models)
    except ConfigurationError as error:
        yield failed("models", error)
        return
    chosen = settings.models
    found = find(Path(chosen.path), chosen.enabled, signatures=signatures)
    for problem in found.problems:
        yield failed("models", problem)
    if not found.packages and not found.problems:
        yield wrong(
            "models",
            f"no model package under {settings.models.path}",
            "set models.path to a folder of packages (folders with model.toml)",
        )
    devices: dict[str, str] = {}
    for loaded in found.packages:
        try:
            device, why = _open(loaded, settings.worker)
        except ModelPackageError as error:
            yield failed("models", error)
            continue
        devices[device] = why
        package = loaded.package
        signed = f", signed by {loaded.signer}" if loaded.signer else ""
        yield well("models", f"{package.name} {package.version} loads on {device}{signed}")
    for device, why in devices.items():
        yield _device(device, why, settings.worker)


def _open(loaded: LoadedPackage, worker: Worker) -> tuple[str, str]:
    """Open a package as the worker does; return its device and why it is not another one."""
    from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime

    runtime = OnnxRuntime(loaded, worker.device, worker.threads, worker.max_batch)
    return runtime.device, runtime.note


def _device(device: str, why: str, worker: Worker) -> Finding:
    said = f"{device} (worker.device = {worker.device})"
    if not why:
        return well("device", said)
    if not _DRIVER.exists():
        return well("device", f"{said}: no NVIDIA driver on this machine")
    return note("device", f"{said}: {why}", "install the CUDA libraries: pip install -e '.[gpu]'")
