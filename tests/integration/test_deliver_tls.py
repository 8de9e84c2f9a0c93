"""Delivery over TLS to DCMTK, Orthanc and a web service: whom we believe, and why a handshake fails."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from builders import a_result_file
from certificates import Authority, Signed
from lightbox.deliver.cstore import CStore
from lightbox.deliver.status import Action, DestinationError
from lightbox.deliver.stow import Stow
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import DestinationSettings, DestinationTls
from lightbox.tools.archive import Archive
from lightbox.tools.orthanc import Orthanc, free_port, is_installed

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None or shutil.which("storescp") is None,
    reason="openssl or DCMTK is not installed",
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def theirs(ours: Authority) -> Signed:
    return ours.sign("pacs", "DNS:pacs.hospital", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def client(ours: Authority) -> Signed:
    return ours.sign("lightbox")


def tls(ca: Path, client: Signed | None = None, **more: object) -> DestinationTls:
    files = {"certificate": str(client.certificate), "key": str(client.key)} if client else {}
    return DestinationTls.model_validate({"ca": str(ca), **files, **more})


def answers(port: int, process: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None
        pause.wait(0.05)


@contextmanager
def storescp(folder: Path, *options: object) -> Iterator[int]:
    port = free_port()
    folder.mkdir(exist_ok=True)
    command = ["storescp", *map(str, options), "-od", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        answers(port, process)
        yield port
        process.terminate()


@contextmanager
def secure_storescp(folder: Path, server: Signed, ca: Path, *options: str) -> Iterator[int]:
    with storescp(folder, "+tls", server.key, server.certificate, "+cf", ca, *options) as port:
        yield port


def to(
    port: int, root: Path, given: DestinationTls | None = None, host: str = "127.0.0.1"
) -> CStore:
    settings = DestinationSettings(
        name="pacs",
        ae_title="STORESCP",
        host=host,
        port=port,
        tls=given or DestinationTls(),
        connect_within=5.0,
        answer_within=5.0,
    )
    return CStore(settings, "LIGHTBOX", root)


def why_not(destination: CStore | Stow) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        destination.echo()
    destination.close()
    assert caught.value.action is Action.UNREACHABLE
    assert caught.value.mend
    return caught.value


def test_dcmtk_gets_results_over_one_encrypted_association_with_our_certificate(
    tmp_path: Path, ours: Authority, theirs: Signed, client: Signed
) -> None:
    with secure_storescp(tmp_path / "got", theirs, ours.ca) as port:
        destination = to(port, tmp_path, tls(ours.ca, client))
        for name in ("1", "2", "3"):
            assert destination.send(a_result_file(tmp_path, name)) == ""
        destination.close()
    assert len(list((tmp_path / "got").iterdir())) == 3


def test_a_name_in_the_certificate_that_is_not_the_host_is_given_by_a_key(
    tmp_path: Path, ours: Authority, theirs: Signed, client: Signed
) -> None:
    with secure_storescp(tmp_path, theirs, ours.ca) as port:
        named = to(port, tmp_path, tls(ours.ca, client, name="pacs.hospital"))
        named.echo()
        named.close()
        error = why_not(to(port, tmp_path, tls(ours.ca, client, name="other.hospital")))
        assert error.reason == "its certificate is for another name"
        assert "`tls.name`" in error.mend
        anyone = to(port, tmp_path, tls(ours.ca, client, name="other.hospital", check_name=False))
        anyone.echo()
        anyone.close()


@pytest.mark.parametrize("protocol", ["+py", "+px"], ids=["tls 1.3", "tls 1.2"])
def test_a_peer_that_wants_our_certificate_and_gets_none_says_so(
    tmp_path: Path, ours: Authority, theirs: Signed, protocol: str
) -> None:
    with secure_storescp(tmp_path, theirs, ours.ca, protocol) as port:
        error = why_not(to(port, tmp_path, tls(ours.ca)))
    assert error.reason == "does not accept our certificate, or wants one"
    assert "`tls.certificate`" in error.mend


def test_a_certificate_of_another_authority_is_refused_on_either_side(
    tmp_path: Path, ours: Authority, theirs: Signed, client: Signed
) -> None:
    strangers = Authority(tmp_path / "strangers", "strangers")
    with secure_storescp(tmp_path, theirs, ours.ca) as port:
        not_believed = why_not(to(port, tmp_path, tls(strangers.ca, client)))
        not_taken = why_not(to(port, tmp_path, tls(ours.ca, strangers.sign("stranger"))))
    assert not_believed.reason == "its certificate is not from an authority in `tls.ca`"
    assert not_taken.reason == "does not accept our certificate, or wants one"


def test_a_port_without_tls_and_one_that_wants_it_are_told_apart(
    tmp_path: Path, ours: Authority, theirs: Signed, client: Signed
) -> None:
    with storescp(tmp_path) as plain, secure_storescp(tmp_path, theirs, ours.ca) as secure:
        spoken_to_plain = why_not(to(plain, tmp_path, tls(ours.ca, client)))
        plain_to_secure = why_not(to(secure, tmp_path))
    assert spoken_to_plain.reason == "no TLS on this port"
    assert plain_to_secure.reason == "wants TLS on this port"
    assert "`tls.ca`" in plain_to_secure.mend


def test_a_peer_without_an_aead_cipher_has_nothing_in_common_with_us(
    tmp_path: Path, ours: Authority, theirs: Signed
) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(theirs.certificate, theirs.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE+AES+SHA1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = threading.Event()

        def serve() -> None:
            while not refused.is_set():
                plain, _ = listener.accept()
                with plain:
                    try:
                        old.wrap_socket(plain, server_side=True).close()
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        error = why_not(to(listener.getsockname()[1], tmp_path, tls(ours.ca)))
        refused.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join(5.0)
    assert error.reason in {
        "no TLS version or cipher in common",
        "does not accept our certificate, or wants one",
    }


def test_a_file_that_is_gone_makes_results_wait_and_names_the_key(
    tmp_path: Path, ours: Authority, client: Signed
) -> None:
    error = why_not(to(free_port(), tmp_path, tls(tmp_path / "gone.pem", client)))
    assert error.thing == f"destinations.pacs.tls.ca '{tmp_path / 'gone.pem'}'"
    assert error.reason == "is no file"


def test_a_silent_peer_behind_tls_is_given_up_in_time(
    tmp_path: Path, ours: Authority, theirs: Signed
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.certificate, theirs.key)
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True):
                done.wait(20.0)

        thread = threading.Thread(target=serve)
        thread.start()
        settings = DestinationSettings(
            name="pacs",
            ae_title="PACS",
            port=listener.getsockname()[1],
            tls=tls(ours.ca),
            answer_within=0.5,
        )
        error = why_not(CStore(settings, "LIGHTBOX", tmp_path))
        done.set()
        thread.join(5.0)
    assert error.reason == "connected, but no answer in time"


@pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed")
def test_orthanc_gets_results_over_tls(
    tmp_path: Path, ours: Authority, theirs: Signed, client: Signed
) -> None:
    secure = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(ours.ca),
        "DicomTlsRemoteCertificateRequired": True,
    }
    with Orthanc(tmp_path / "orthanc", options=secure) as orthanc:
        settings = DestinationSettings(
            name="pacs", ae_title="ORTHANC", port=orthanc.dicom_port, tls=tls(ours.ca, client)
        )
        destination = CStore(settings, "LIGHTBOX", tmp_path)
        results = [a_result_file(tmp_path, str(n)) for n in range(3)]
        for result in results:
            assert destination.send(result) == ""
        destination.close()
        held = {one.sop_instance_uid for one in orthanc.instances()}
        assert held == {result.sop_instance_uid for result in results}


# ------------------------------------------------------------------------------------------- web
class Web(HTTPServer):
    """A DICOMweb service behind TLS that notes who asked, and over how many connections."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.who: list[str] = []
        self.connections = 0
        if context is not None:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: handshakes fail on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5.0  # type: ignore[mutable-override]  # a handler's class attribute is a default

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, Web)
        self.server.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        assert isinstance(self.server, Web)
        self.server.who.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing."""


@contextmanager
def web(server: Signed | None, ca: Path | None = None) -> Iterator[Web]:
    context = None
    if server is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.certificate, server.key)
        if ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(ca)
    with Web(context) as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join(10.0)


def stow(service: Web, root: Path, scheme: str = "https", **given: object) -> Stow:
    address = f"{scheme}://127.0.0.1:{service.server_port}/dicom-web"
    return Stow(
        DestinationSettings.model_validate(
            {"name": "pacs", "stow": address, "answer_within": 5.0, **given}
        ),
        root,
    )


def test_a_web_service_sees_our_certificate_and_one_connection_carries_all(
    tmp_path: Path, ours: Authority, theirs: Signed, client: Signed
) -> None:
    with web(theirs, ours.ca) as service:
        destination = stow(service, tmp_path, tls=tls(ours.ca, client).model_dump())
        for name in ("1", "2", "3"):
            assert destination.send(a_result_file(tmp_path, name)) == ""
        destination.close()
        assert service.connections == 1
        nobody = why_not(stow(service, tmp_path, tls=tls(ours.ca).model_dump()))
    assert nobody.reason == "does not accept our certificate, or wants one"


def test_a_web_service_of_another_authority_or_name_is_not_believed(
    tmp_path: Path, ours: Authority, theirs: Signed
) -> None:
    with web(theirs) as service:
        unknown = why_not(stow(service, tmp_path))
        other = why_not(stow(service, tmp_path, tls={"ca": str(ours.ca), "name": "other"}))
    assert unknown.reason == "its certificate is not from an authority in `tls.ca`"
    assert other.reason == "its certificate is for another name"


def test_a_connection_that_the_service_ended_meanwhile_is_opened_again_unseen(
    tmp_path: Path, ours: Authority, theirs: Signed
) -> None:
    with web(theirs) as service:
        first, second = (stow(service, tmp_path, tls={"ca": str(ours.ca)}) for _ in range(2))
        Handler.timeout, before = 0.05, Handler.timeout
        try:
            first.echo()
            second.echo()  # one at a time: it is answered when the service has ended the first
            first.echo()
        finally:
            Handler.timeout = before
        first.close()
        second.close()
        assert (len(service.who), service.connections) == (3, 3)


def test_secrets_come_from_a_file_or_the_environment_and_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setenv("PACS_PASSWORD", "of-the-environment")
    with web(None) as service:
        bearer = stow(service, tmp_path, "http", token=f"file:{token}")
        bearer.echo()
        token.write_text("second\n")
        bearer.echo()
        token.unlink()
        gone = why_not(bearer)
        basic = stow(service, tmp_path, "http", user="lightbox", password="env:PACS_PASSWORD")
        basic.echo()
        basic.close()
        assert service.who[:2] == ["Bearer first", "Bearer second"]
        assert service.who[2] == "Basic bGlnaHRib3g6b2YtdGhlLWVudmlyb25tZW50"
    assert str(token) in str(gone)


def test_a_secret_that_is_not_there_or_stands_in_the_address_is_a_configuration_error(
    tmp_path: Path,
) -> None:
    for given in (
        {"stow": "https://pacs/dicom-web", "token": SecretStr("env:NO_SUCH_VARIABLE")},
        {"stow": "https://user:secret@pacs/dicom-web"},
    ):
        with pytest.raises(ConfigurationError) as caught:
            Stow(DestinationSettings.model_validate({"name": "pacs", **given}), tmp_path)
        assert "secret" not in caught.value.reason


def test_a_plain_archive_stays_plain(tmp_path: Path) -> None:
    with Archive(tmp_path / "archive", ae_title="STORESCP") as archive:
        destination = to(archive.dicom_port, tmp_path)
        destination.echo()
        destination.close()
