"""`nnlab download` through what stands between: proxies, certificates, disks without room."""

import contextlib
import functools
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading

import pytest

from nnlab.datasets.fetching.part import reserve

pytestmark = pytest.mark.network


class Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        if self.path.startswith("http://"):  # as a proxy is asked
            self.path = "/" + self.path.split("/", 3)[3]
        super().do_GET()

    def log_message(self, *_):
        """Keep the tests' output clean."""


@contextlib.contextmanager
def serving(folder, context=None):
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.requested = []
        server.handle_error = lambda *_: None
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def download(nnlab, url, root, **env):
    arguments = ("--source", url, "--root", root, "--timeout", 5, "--tries", 2, "--retry-wait", 0)
    return nnlab("download", "fashion-mnist", *arguments, env=env)


def refused(done, *words):
    assert (done.code, done.stdout) == (69, ""), done
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that nobody has signed, for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


def test_an_unknown_certificate_is_refused_until_its_authority_is_named(
    nnlab, fashion_dir, certificate, tmp_path
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(fashion_dir, context) as server:
        url = f"https://127.0.0.1:{server.server_port}/"
        done = download(nnlab, url, tmp_path)
        refused(done, "TLS: the certificate does not verify (self-signed", "REQUESTS_CA_BUNDLE")
        assert server.requested == []
        done = download(nnlab, url, tmp_path, REQUESTS_CA_BUNDLE=str(certificate[0]))
        assert done.code == 0, done.stderr


def test_a_server_without_tls_is_named(nnlab, fashion_dir, tmp_path):
    with serving(fashion_dir) as server:
        refused(download(nnlab, f"https://127.0.0.1:{server.server_port}/", tmp_path), "TLS: ")


def test_proxies_are_taken_from_the_environment(nnlab, fashion_dir, tmp_path):
    with serving(fashion_dir) as proxy:
        url = f"http://127.0.0.1:{proxy.server_port}"
        done = download(nnlab, "http://mirror.invalid/", tmp_path, http_proxy=url)
        assert done.code == 0, done.stderr
        assert all(path.startswith("http://mirror.invalid/") for path in proxy.requested)
        settings = {"http_proxy": url, "no_proxy": "mirror.invalid"}
        done = download(nnlab, "http://mirror.invalid/", tmp_path / "b", **settings)
        refused(done, "its name cannot be resolved", "login node")
    done = download(nnlab, "http://mirror.invalid/", tmp_path / "c", http_proxy=url)
    refused(done, "proxy")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_without_room_is_noticed_before_the_first_byte(
    nnlab, fashion_dir, small_disk, tmp_path
):
    with serving(fashion_dir) as server:
        done = download(nnlab, f"http://127.0.0.1:{server.server_port}", small_disk)
        assert server.requested == []
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "has 2.1 MB free, 31.9 MB are needed" in done.stderr
    assert "--root" in done.stderr
    done = download(nnlab, fashion_dir, small_disk)
    assert done.code == 2
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_space_is_taken_before_the_bytes_come(small_disk):
    """What a quota answers cannot be tried here; a full disk answers the same call."""
    with (small_disk / "x").open("wb") as stream:
        reserve(stream.fileno(), 2**20)
        assert os.fstat(stream.fileno()).st_size == 0
        with pytest.raises(OSError, match="No space left"):
            reserve(stream.fileno(), 2**30)


def test_a_limit_met_midway_is_one_line_and_keeps_what_has_come(nnlab, fashion_dir, tmp_path):
    with serving(fashion_dir) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        command = [sys.executable, "-m", "nnlab.cli", "download", "fashion-mnist"]
        command += ["--root", tmp_path, "--source", url]
        done = subprocess.run(
            ["bash", "-c", 'ulimit -f 1000; exec "$@"', "bash", *command],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "train-images-idx3-ubyte.gz: File too large" in done.stderr
        (part,) = (tmp_path / "fashion-mnist" / "files").glob(".*.part")
        assert part.stat().st_size == 1000 * 1024
        assert download(nnlab, url, tmp_path).code == 0
        assert not part.exists()
