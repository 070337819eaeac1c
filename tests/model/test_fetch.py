# SPDX-License-Identifier: Apache-2.0
"""Downloads from real servers on this machine: good ones, broken ones, proxies."""

import hashlib
import re
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from matanyone_engine.errors import CheckpointError, FetchError, OutputError
from matanyone_engine.model.dims import LITE
from matanyone_engine.model.fetch import MOST_BYTES, download, fetch
from matanyone_engine.model.registry import Model, locate, user_weights_folder
from matanyone_engine.model.weights_file import Fingerprint, read_receipt

MINI_BYTES = locate("mini").path.read_bytes()
BODY = bytes(range(256)) * 4000  # about a megabyte, begins like no page
HALF = len(BODY) // 2


class Handler(BaseHTTPRequestHandler):
    """One behaviour per path. What was asked is noted on the server."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        path = re.sub(r"^http://[^/]+", "", self.path)
        getattr(self, path.strip("/").partition(".")[0].replace("-", "_"), self.missing)()

    def whole(self, body, content_type="application/octet-stream", length=None):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def weights(self):
        """A good server: ranges, and a name for its version."""
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not start or self.headers.get("If-Range", '"v1"') != '"v1"':
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            rest = BODY
        elif int(start[1]) >= len(BODY):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(BODY)}")
            rest = b""
        else:
            self.send_response(206)
            rest = BODY[int(start[1]) :]
            self.send_header("Content-Range", f"bytes {start[1]}-{len(BODY) - 1}/{len(BODY)}")
            self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        self.wfile.write(rest)

    def no_ranges(self):
        self.whole(BODY)

    def other_range(self):
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()

    def truncated(self):
        self.whole(BODY[:HALF], length=len(BODY))

    def chunked(self):
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"400\r\n" + BODY[:100])

    def page(self):
        self.whole(b"<html><body>Please sign in to the guest network</body></html>", "text/html; charset=utf-8")

    def page_as_binary(self):
        self.whole(b"\n\n<!doctype html><html></html>")

    def pointer(self):
        self.whole(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5491706\n")

    def huge(self):
        self.whole(b"x", length=MOST_BYTES + 1)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(BODY)

    def garbage(self):
        self.wfile.write(b"what?\r\n\r\n")

    def refused(self):
        self.send_error(403)

    def missing(self):
        self.send_error(404)

    def moved(self):
        self.send_response(302)
        self.send_header("Location", "/weights.pth")
        self.end_headers()

    def downgrade(self):
        self.send_response(302)
        self.send_header("Location", self.server.open_address)
        self.end_headers()

    def mini(self):
        self.whole(MINI_BYTES)


class Server(ThreadingHTTPServer):
    def handle_error(self, *args):
        """A client that hangs up is part of these tests."""


@pytest.fixture
def serve():
    servers = []

    def start():
        server = Server(("127.0.0.1", 0), Handler)
        server.asked = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for variable in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def url(server, path):
    return f"http://127.0.0.1:{server.server_port}/{path}"


def get(server, path, part, **options):
    download(url(server, path), part, about=len(BODY), **options)


def test_a_download_reports_its_progress(server, tmp_path):
    seen = []
    part = tmp_path / "new" / "x.part"
    get(server, "weights.pth", part, progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_redirections_are_followed(server, tmp_path):
    get(server, "moved.pth", tmp_path / "x.part")
    assert (tmp_path / "x.part").read_bytes() == BODY


def test_a_stopped_download_goes_on_where_it_stopped(server, tmp_path):
    part = tmp_path / "x.part"

    def stop_at_half(done, total):
        if done >= HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, "weights.pth", part, progress=stop_at_half)
    kept = part.stat().st_size
    assert HALF <= kept < len(BODY)
    get(server, "weights.pth", part)
    assert part.read_bytes() == BODY
    assert server.asked[-1][1]["Range"] == f"bytes={kept}-"
    assert server.asked[-1][1]["If-Range"] == '"v1"'


def test_a_part_of_an_older_version_is_thrown_away(server, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(b"old" * 100)
    (tmp_path / "x.part.etag").write_text('"v0"')
    get(server, "weights.pth", part)
    assert part.read_bytes() == BODY


def test_a_server_without_ranges_starts_over(server, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(b"leftover")
    get(server, "no-ranges.pth", part)
    assert part.read_bytes() == BODY


def test_a_complete_part_is_not_downloaded_again(server, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(BODY)
    get(server, "weights.pth", part)
    assert part.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_discarded(server, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(BODY + b"more")
    with pytest.raises(FetchError, match="Run the same command again"):
        get(server, "weights.pth", part)
    get(server, "weights.pth", part)
    assert part.read_bytes() == BODY


def test_another_range_than_asked_for_is_refused(server, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(b"left")
    with pytest.raises(FetchError, match=r"from byte 4.*bytes 0-"):
        get(server, "other-range.pth", part)
    assert part.read_bytes() == b"left"


def test_a_truncated_transfer_keeps_what_came(server, tmp_path):
    part = tmp_path / "x.part"
    with pytest.raises(FetchError, match=f"{HALF:,} of {len(BODY):,} bytes.*same command again"):
        get(server, "truncated.pth", part)
    assert part.read_bytes() == BODY[:HALF]


@pytest.mark.parametrize("path", ["chunked.pth", "garbage.pth"])
def test_broken_answers_are_fetch_errors(server, tmp_path, path):
    with pytest.raises(FetchError, match="broken connection"):
        get(server, path, tmp_path / "x.part")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("page.pth", r"web page \(HTML\).*sign-in"),
        ("page-as-binary.pth", r"web page \(HTML\)"),
        ("pointer.pth", "Git LFS pointer"),
    ],
)
def test_impostors_are_refused_and_nothing_is_written(server, tmp_path, path, words):
    with pytest.raises(FetchError, match=words):
        get(server, path, tmp_path / "x.part")
    assert not (tmp_path / "x.part").exists()


@pytest.mark.parametrize(
    ("path", "words"), [("gone.pth", "404.*project's page"), ("refused.pth", "403.*download it in a browser")]
)
def test_http_errors_say_what_to_do(server, tmp_path, path, words):
    with pytest.raises(FetchError, match=words):
        get(server, path, tmp_path / "x.part")


@pytest.mark.parametrize("path", ["huge.pth", "endless.pth"])
def test_an_answer_far_too_long_is_cut(server, tmp_path, path):
    with pytest.raises(FetchError, match="at most"):
        get(server, path, tmp_path / "x.part")
    part = tmp_path / "x.part"
    assert not part.exists() or part.stat().st_size <= 2 * len(BODY)


def test_no_server_is_a_fetch_error_that_names_the_way_without_network(server, tmp_path):
    address = url(server, "weights.pth")
    server.shutdown()
    server.server_close()
    with pytest.raises(FetchError, match="weights import FILE"):
        download(address, tmp_path / "x.part", about=10)


def test_a_folder_that_cannot_be_written_is_an_output_error(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        get(server, "weights.pth", tmp_path / "file" / "x.part")


def test_a_full_disk_is_an_output_error_and_the_download_goes_on_later(server, tmp_path):
    resource = pytest.importorskip("resource")
    part = tmp_path / "x.part"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, hard))
    try:
        with pytest.raises(OutputError, match="Make room"):
            get(server, "weights.pth", part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert part.read_bytes() == BODY[:HALF]
    get(server, "weights.pth", part)
    assert part.read_bytes() == BODY


def test_the_proxy_variable_is_respected(serve, tmp_path, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    download("http://weights.invalid/weights.pth", tmp_path / "x.part", about=len(BODY))
    assert (tmp_path / "x.part").read_bytes() == BODY
    assert proxy.asked[0][0] == "http://weights.invalid/weights.pth"


def test_a_socks_proxy_is_named_as_the_trouble(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(FetchError, match="SOCKS"):
        download("https://weights.invalid/weights.pth", tmp_path / "x.part", about=10)


@pytest.fixture
def secure(serve, tmp_path):
    """A server with a certificate that nobody signed, and the file of that certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    extra = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    subprocess.run([*command.split(), *extra.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = serve()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server, tmp_path / "cert.pem"


def test_a_certificate_nobody_signed_is_refused_with_what_to_do(secure, tmp_path, monkeypatch):
    server, certificate = secure
    address = f"https://localhost:{server.server_port}/weights.pth"
    with pytest.raises(FetchError, match="SSL_CERT_FILE"):
        download(address, tmp_path / "x.part", about=len(BODY))
    assert not server.asked
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    download(address, tmp_path / "x.part", about=len(BODY))
    assert (tmp_path / "x.part").read_bytes() == BODY


def test_an_encrypted_address_never_leads_to_an_open_one(secure, server, tmp_path, monkeypatch):
    guarded, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    guarded.open_address = url(server, "weights.pth")
    with pytest.raises(FetchError, match="encrypted"):
        download(f"https://localhost:{guarded.server_port}/downgrade.pth", tmp_path / "x.part", about=len(BODY))
    assert not (tmp_path / "x.part").exists()


def model(server, **changes):
    fields = {
        "name": "studio",
        "title": "Studio",
        "licence": "S-Lab-1.0",
        "commercial": False,
        "terms": "for study only",
        "dims": LITE,
        "size": len(MINI_BYTES),
        "published": Fingerprint(sha256=hashlib.sha256(MINI_BYTES).hexdigest()),
        "source": url(server, "mini.safetensors"),
    }
    return Model(**(fields | changes))


@pytest.fixture
def register(server, monkeypatch):
    """Make a model that this server has the only registered one: it takes mini's bytes, so mini must stand aside."""

    def only(**changes):
        studio = model(server, **changes)
        monkeypatch.setattr("matanyone_engine.model.registry.MODELS", {"studio": studio})
        return studio

    return only


def test_fetch_installs_a_checked_file_with_its_receipt_and_nothing_else(register):
    studio = register()
    path = fetch(studio, accept_unverified=False)
    assert path == user_weights_folder() / "studio.safetensors"
    assert path.read_bytes() == MINI_BYTES
    receipt = read_receipt(path)
    assert receipt is not None
    assert receipt.source == studio.source
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "studio.safetensors",
        "studio.safetensors.receipt.json",
    ]


def test_another_checksum_is_unverified_until_the_user_says_yes(register):
    wrong = register(published=Fingerprint(md5="0" * 32))
    with pytest.raises(CheckpointError, match=r"0{32}.*unverified.*--accept-unverified") as error:
        fetch(wrong, accept_unverified=False)
    assert hashlib.md5(MINI_BYTES, usedforsecurity=False).hexdigest() in error.value.came
    assert not (user_weights_folder() / "studio.safetensors").exists()
    assert fetch(wrong, accept_unverified=True).read_bytes() == MINI_BYTES


def test_a_file_that_is_no_network_is_never_installed(server, register):
    impostor = register(source=url(server, "weights.pth"), size=len(BODY))
    with pytest.raises(CheckpointError, match="cannot be read"):
        fetch(impostor, accept_unverified=True)
    assert not (user_weights_folder() / "studio.pth").exists()
