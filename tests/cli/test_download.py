"""`nnlab download`: files that verify, or exit code 69 and one line."""

import functools
import http.server
import json
import re
import signal
import threading
import time

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


@pytest.fixture
def counting_mirror(fashion_dir):
    """The URL of such a server, and the (path, range) of every request; below slow/ it is slow."""
    requested = []

    class Counting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append((self.path.replace("/slow", ""), self.headers.get("Range", "")))
            body = (fashion_dir / self.path.rpartition("/")[2]).read_bytes()
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            for at in range(start, len(body), 2**18):
                self.wfile.write(body[at : at + 2**18])
                time.sleep(0.02 if self.path.startswith("/slow") else 0)

        def log_message(self, *_):
            """Keep the tests' output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        server.handle_error = lambda *_: None  # a client that is killed is no news
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", requested
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


def test_eight_processes_at_once_fetch_once(start_nnlab, counting_mirror, tmp_path):
    url, requested = counting_mirror
    arguments = ("download", "fashion-mnist", "--source", url + "slow", "--root", tmp_path)
    processes = [start_nnlab(*arguments, "--json") for _ in range(8)]
    states, named = [], set()
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        states.append(set(json.loads(out)["downloads"]["fashion-mnist"]["files"].values()))
        named |= set(re.findall(r"waiting for download \(process (\d+) ", err))
        if "downloaded" in states[-1]:
            fetching = str(process.pid)
    assert named == {fetching}  # nobody waits for one that has only looked
    assert len(requested) == 4
    assert sorted(map(sorted, states)) == [["downloaded"]] + [["present"]] * 7
    assert [path.name for path in tmp_path.rglob("*") if ".claim" in path.name] == []


@pytest.fixture(params=["download"])
def begun(request, start_nnlab, counting_mirror, tmp_path):
    """A command that fetches from a slow mirror, when a megabyte has come, and the folder."""
    url, _ = counting_mirror
    words = request.param.replace("OUT", str(tmp_path / "x.h5")).split()
    process = start_nnlab(*words, "fashion-mnist", "--source", url + "slow", "--root", tmp_path)
    folder = tmp_path / "fashion-mnist" / "files"
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 2**20 for path in folder.glob(".*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process, folder


def test_a_download_killed_midway_is_taken_over_and_goes_on(
    begun, nnlab, counting_mirror, tmp_path
):
    url, requested = counting_mirror
    process, folder = begun
    process.kill()
    process.wait()
    (part,) = folder.glob(".*.part")
    kept = part.stat().st_size
    assert part.stat().st_blocks * 512 > 25e6  # the space for all of it is taken already
    assert folder.with_name("files.claim").exists()
    requested.clear()
    done = nnlab("download", "fashion-mnist", "--source", url, "--root", tmp_path)
    assert done.code == 0, done.stderr
    assert requested[0] == ("/train-images-idx3-ubyte.gz", f"bytes={kept}-")
    assert len(list(folder.iterdir())) == 4
    assert not folder.with_name("files.claim").exists()


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_a_download_that_is_stopped_says_that_it_can_go_on(begun, number, name):
    process, folder = begun
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == (
        f"nnlab: stopped by {name}; what has come is kept, and the same command goes on from "
        "there.\n"
    )
    assert [path.suffix for path in sorted(folder.iterdir())] == [".notes", ".part"]
    assert not folder.with_name("files.claim").exists()


@pytest.mark.parametrize("begun", ["preprocess -o OUT"], indirect=True)
def test_preparing_that_is_stopped_while_it_fetches_says_what_is_kept(begun, tmp_path):
    process, folder = begun
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    kept = "no data file was made, but what has come is kept."
    assert (process.returncode, err) == (130, f"nnlab: stopped by SIGTERM; {kept}\n")
    assert [path.suffix for path in sorted(folder.iterdir())] == [".notes", ".part"]
    assert not (tmp_path / "x.h5").exists()


def test_the_advice_names_the_root_that_was_asked_for(nnlab, mirror, tmp_path):
    source = ("download", "fashion-mnist", "--source", mirror + "nothing/")
    advice = "nnlab download fashion-mnist{} --source URL-or-FOLDER"
    done = nnlab(*source, "--root", tmp_path)
    assert advice.format(f" --root {tmp_path}") in done.stderr
    done = nnlab(*source, env={"NNLAB_DATA": str(tmp_path)})
    assert advice.format("") in done.stderr
