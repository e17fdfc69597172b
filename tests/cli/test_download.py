"""`nnlab download`: files that verify, or exit code 69 and one line."""

import functools
import http.server
import threading

import pytest


@pytest.fixture
def mirror(fashion_dir):
    """The URL of a server on this machine that has Fashion-MNIST."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Keep the tests' output clean."""

    handler = functools.partial(Quiet, directory=str(fashion_dir))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_files_come_from_a_mirror_once(nnlab, mirror, tmp_path):
    arguments = ("download", "fashion-mnist", "--source", mirror, "--root", tmp_path, "--json")
    done = nnlab(*arguments)
    assert done.code == 0, done.stderr
    record = done.json["downloads"]["fashion-mnist"]
    assert set(record["files"].values()) == {"downloaded"}
    assert done.stderr == ""
    again = nnlab(*arguments).json["downloads"]["fashion-mnist"]
    assert set(again["files"].values()) == {"present"}
    found = sorted(path.name for path in (tmp_path / "fashion-mnist" / "files").iterdir())
    assert found == sorted(record["files"])


def test_the_data_root_can_come_from_the_environment(nnlab, fashion_dir, tmp_path):
    arguments = ("download", "fashion-mnist", "--source", fashion_dir)
    assert nnlab(*arguments, env={"NNLAB_DATA": str(tmp_path)}).code == 0
    assert (tmp_path / "fashion-mnist" / "files" / "t10k-labels-idx1-ubyte.gz").is_file()


def test_a_source_that_does_not_have_it_is_exit_code_69(nnlab, mirror, tmp_path):
    for source in (mirror + "nothing/", "http://127.0.0.1:9/", str(tmp_path)):
        done = nnlab("download", "fashion-mnist", "--source", source, "--root", tmp_path)
        assert (done.code, done.stdout) == (69, ""), done
        assert done.stderr.count("\n") == 1
        assert "--source" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_names_are_checked_before_anything_is_fetched(nnlab, mirror, tmp_path):
    arguments = ("fashion-mnist", "imagenet", "--source", mirror, "--root", tmp_path)
    done = nnlab("download", *arguments)
    assert done.code == 2
    assert "'imagenet' is no known data set" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_shapes_are_drawn_not_downloaded(nnlab, tmp_path):
    done = nnlab("download", "shapes", "--root", tmp_path)
    assert done.code == 2
    assert "nnlab preprocess shapes" in done.stderr
