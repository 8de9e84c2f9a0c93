"""OHIF, the viewer of many hospitals and cloud archives, on the DICOMweb of an archive.

Pages, settings and images come from one address on this machine; nothing is asked of the internet.
"""

from __future__ import annotations

import http.client
import json
import mimetypes
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

DIST = Path(__file__).parents[2] / ".viewers" / "ohif"
MISSING = "OHIF is not there: make viewers (needs npm and the network once)"
_IMAGES = "/dicom-web"
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Without them a browser gives a page no shared memory, which volumes need."""
_SETTINGS = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "archive",
                "name": "archive",
                "wadoUriRoot": _IMAGES,
                "qidoRoot": _IMAGES,
                "wadoRoot": _IMAGES,
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "dicomUploadEnabled": False,
                "bulkDataURI": {"enabled": True},
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}
_MORE_SETTINGS = """
window.config.httpErrorHandler = error => console.error('an image was not loaded', error);
localStorage.setItem('shownTours', '["basicViewerTour"]');
"""


def is_installed() -> bool:
    """Say whether OHIF was fetched."""
    return (DIST / "index.html").exists()


class Ohif:
    """Answers on entering, stops on leaving.

    Parameters
    ----------
    dicomweb_url : str
        Where the archive's DICOMweb is, ``http://host:port/path``.
    """

    def __init__(self, dicomweb_url: str) -> None:
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, dicomweb_url))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the list of studies is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def study_url(self, study_instance_uid: str) -> str:
        """Where a study opens."""
        return f"{self.url}/viewer?{urlencode({'StudyInstanceUIDs': study_instance_uid})}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, but not that a browser went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, dicomweb_url: str, *args: object) -> None:
        self._archive = urlsplit(dicomweb_url)
        super().__init__(*args)  # type: ignore[arg-type]  # as the server gives them

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(f"{_IMAGES}/"):
            self._pass_on()
        elif path == "/app-config.js":
            script = f"window.config = {json.dumps(_SETTINGS)};{_MORE_SETTINGS}"
            self._answer(200, "text/javascript", script.encode())
        else:
            self._send(DIST / path.lstrip("/"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, file: Path) -> None:
        """Answer with a file, or with the page, which knows its own paths."""
        if not (file.is_file() and file.resolve().is_relative_to(DIST.resolve())):
            file = DIST / "index.html"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._answer(200, kind, file.read_bytes())

    def _pass_on(self) -> None:
        """Ask the archive, which names its images by the address that was asked: ours."""
        connection = http.client.HTTPConnection(self._archive.netloc, timeout=60)
        try:
            rest = self.path.removeprefix(_IMAGES)
            headers = {
                name: self.headers[name] for name in ("Host", "Accept") if self.headers[name]
            }
            connection.request("GET", self._archive.path + rest, headers=headers)
            answer = connection.getresponse()
            kind = answer.getheader("Content-Type", "application/octet-stream")
            self._answer(answer.status, kind, answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in _ISOLATED.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
