"""``make demo-viewer``: the demo of the service, and its archive in OHIF for a person to look at."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from viewers import ohif
from viewers.objects import put
from viewers.ohif import Ohif

_FOLDER = Path("lightbox-demo")
_WAITING = "running until a key is pressed"
_STOPPED = 143  # 128 + SIGTERM, as shells have it


def main(arguments: list[str]) -> int:
    """Run ``lightbox demo --keep`` and say where its studies open."""
    if not ohif.is_installed():
        sys.exit(ohif.MISSING)
    command = [sys.executable, "-m", "lightbox", "demo", "--keep", "--out", str(_FOLDER)]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(_STOPPED))
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as demo:
        try:
            _show(demo)
        finally:
            demo.terminate()  # stops service and archive; nothing happens where it has ended
    return demo.returncode


def _show(demo: subprocess.Popen[str]) -> None:
    """Say what the demo says; serve OHIF from when it waits until it ends."""
    assert demo.stderr is not None
    for line in demo.stderr:
        sys.stderr.write(line)
        if line.startswith(_WAITING):
            archive = archive_of(_FOLDER / "run" / "archive")
            for image in received(_FOLDER / "run" / "data" / "instances"):
                put(archive, image)  # the demo's archive gets results alone, a PACS has both
            with Ohif(f"{archive}/dicom-web") as viewer:
                sys.stderr.write(f"studies and results in OHIF: {viewer.url}\n")
                demo.wait()
    demo.wait()


def received(folder: Path) -> Iterator[bytes]:
    """Return the images that the service received; it keeps empty files ready for those to come."""
    return (file.read_bytes() for file in folder.rglob("*.dcm") if file.stat().st_size)


def archive_of(folder: Path) -> str:
    """Return where the demo's archive is; ends if it is not Orthanc."""
    configuration = folder / "orthanc.json"
    if not configuration.exists():
        sys.exit("OHIF needs Orthanc: apt-get install orthanc orthanc-dicomweb")
    return f"http://127.0.0.1:{json.loads(configuration.read_text())['HttpPort']}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
