"""Downloads: from a real HTTP server on this machine, verified, or nothing and one clear line."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import threading
from dataclasses import replace

import pytest

from nnlab.datasets.card import CardFile
from nnlab.datasets.download import download, is_downloaded, verified_files
from nnlab.datasets.fetching.patience import Patience
from nnlab.datasets.fetching.verify import mismatch
from nnlab.datasets.fetching.watch import Watch
from nnlab.datasets.known import find_card
from nnlab.datasets.roots import files_folder
from nnlab.errors import InputError, SourceError

HASTE = Patience(pause=0.01, tries=3)


class Recording(Watch):
    """Keeps what a download tells."""

    def __init__(self, shown):
        self.shown = shown

    def progress(self, *step):
        self.shown.append(step)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; a few paths misbehave."""

    def do_GET(self):
        self.server.requested.append(self.path)
        if self.path.startswith("/gone/"):
            self.send_error(404)
        elif self.path.startswith("/broken/"):
            self.send_error(500)
        elif self.path.startswith("/page/"):
            self.reply(b"<html>Please log in</html>", 26)
        elif self.path.startswith("/cut/"):
            self.reply(b"\x1f\x8b\x08", 10_000)
        else:
            super().do_GET()

    def reply(self, body, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Keep the tests' output clean."""


@pytest.fixture
def serve():
    """Serve a folder over HTTP: `with serve(folder) as (url, requested paths)`."""

    @contextlib.contextmanager
    def serving(folder):
        handler = functools.partial(Handler, directory=str(folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.requested = []
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}", server.requested
            finally:
                server.shutdown()
                thread.join()

    return serving


@pytest.fixture
def fashion_card():
    return find_card("fashion-mnist")


def files_in(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_all_files_are_fetched_verified_and_kept(fashion_dir, fashion_card, serve, tmp_path):
    shown = []
    with serve(fashion_dir) as (url, requested):
        card = replace(fashion_card, mirrors=(f"{url}/gone/", url))
        done = download(card, tmp_path, watch=Recording(shown))
        assert set(done.values()) == {"downloaded"}
        # Who has given one file is asked first for the next.
        names = [file.name for file in card.files]
        assert requested == [f"/gone/{names[0]}", *(f"/{name}" for name in names)]
        requested.clear()
        assert set(download(card, tmp_path).values()) == {"present"}
        assert requested == []
    assert files_in(tmp_path) == sorted(file.name for file in card.files)
    assert is_downloaded(card, tmp_path)
    assert verified_files(card, files_folder(card.name, tmp_path))
    size = (fashion_dir / card.files[0].name).stat().st_size
    assert max(done for name, done, _ in shown if name == card.files[0].name) == size


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/gone", "HTTP 404"),
        ("/broken", "HTTP 500"),
        ("/page", "it sent a web page instead of the file"),
        ("/cut", "ended before the file did.*; 3 bytes are kept"),
    ],
)
def test_a_server_that_does_not_give_the_file_leaves_nothing(
    fashion_card, serve, tmp_path, place, reason
):
    with serve(tmp_path) as (url, _), pytest.raises(SourceError, match=reason) as caught:
        download(fashion_card, tmp_path / "root", f"{url}{place}", patience=HASTE)
    assert caught.value.exit_code == 69
    assert "--source" in str(caught.value)
    assert "\n" not in str(caught.value)
    # What has come is kept for the next time, under a name of its own.
    assert [name for name in files_in(tmp_path / "root") if not name.startswith(".")] == []
    assert place == "/cut" or files_in(tmp_path / "root") == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:9", "connection refused"), ("https://no.invalid", "no.invalid")],
)
def test_a_server_that_is_not_there_is_one_line(fashion_card, tmp_path, url, reason):
    with pytest.raises(SourceError, match=reason) as caught:
        download(fashion_card, tmp_path, url, patience=HASTE)
    # The one line says where it can be done, and how.
    assert f"login node, run: nnlab download fashion-mnist --root {tmp_path}" in str(caught.value)
    assert files_in(tmp_path) == []


def test_a_damaged_file_is_fetched_anew(fashion_dir, fashion_card, serve, tmp_path):
    card = replace(fashion_card, files=fashion_card.files[3:])
    with serve(fashion_dir) as (url, _):
        download(card, tmp_path, url)
        kept = files_folder(card.name, tmp_path) / card.files[0].name
        kept.write_bytes(kept.read_bytes()[:-100])
        assert download(card, tmp_path, url) == {card.files[0].name: "downloaded"}
    assert not mismatch(kept, card.files[0])


def test_a_folder_is_a_source_too(fashion_dir, fashion_card, tmp_path):
    assert set(download(fashion_card, tmp_path, str(fashion_dir)).values()) == {"copied"}
    with pytest.raises(SourceError, match="is not a folder"):
        download(fashion_card, tmp_path / "b", str(tmp_path / "nowhere"))


def test_recompressed_and_unpacked_copies_pass_and_altered_ones_do_not(fashion_dir, tmp_path):
    card = find_card("fashion-mnist")
    card = replace(card, files=card.files[3:])
    name = card.files[0].name
    content = gzip.decompress((fashion_dir / name).read_bytes())

    (tmp_path / name).write_bytes(gzip.compress(content, 1))
    assert verified_files(card, tmp_path) == [tmp_path / name]
    altered = bytearray(content)
    altered[100] ^= 1
    (tmp_path / name).write_bytes(gzip.compress(altered))
    with pytest.raises(SourceError, match="is not the file of Fashion-MNIST: its content has"):
        verified_files(card, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(SourceError, match=f"has no {name} or {name[:-3]}, which fashion-mnist"):
        verified_files(card, tmp_path)
    (tmp_path / name[:-3]).write_bytes(content)
    assert verified_files(card, tmp_path) == [tmp_path / name[:-3]]


def test_an_md5_is_of_the_file_as_published(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"hello"))
    as_published = hashlib.md5(path.read_bytes()).hexdigest()
    assert not mismatch(path, CardFile("a.gz", md5=as_published))
    path.write_bytes(gzip.compress(b"hello", 1))
    assert "it has the MD5" in mismatch(path, CardFile("a.gz", md5=as_published))


def test_what_is_drawn_is_not_downloaded(tmp_path):
    with pytest.raises(InputError, match="nnlab preprocess shapes -o"):
        download(find_card("shapes"), tmp_path)


def test_a_root_that_cannot_be_made_is_named(fashion_card, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot make the folder .*--root"):
        download(fashion_card, tmp_path / "file")
