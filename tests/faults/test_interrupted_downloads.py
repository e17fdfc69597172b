"""Every call by which a download writes fails once: no file or the verified one, and on it goes."""

import functools
import http.server
import random
import re
import signal
import threading

import pytest
from processes import calls_on, hit, need_strace, run, tracing

from nnlab.datasets.fetching.verify import mismatch
from nnlab.datasets.known import find_card

pytestmark = pytest.mark.faults

FAULTS = {"KILL": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
NAME = "t10k-labels-idx1-ubyte.gz"
CARD = """
name = "labels"
title = "Labels"
licence = "MIT"
citation = "arXiv:1708.07747"
home = "https://github.com/zalandoresearch/fashion-mnist"
format = "idx"
shape = [28, 28, 1]
classes = ["one"]
[[files]]
name = "{name}"
sha256 = "{sha256}"
"""


@pytest.fixture(scope="module")
def words(fashion_dir, tmp_path_factory):
    """The arguments of a download into a root, and its environment."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Keep the tests' output clean."""

    handler = functools.partial(Quiet, directory=str(fashion_dir))
    cards = tmp_path_factory.mktemp("cards")
    file = next(file for file in find_card("fashion-mnist").files if file.name == NAME)
    (cards / "labels.toml").write_text(CARD.format(name=NAME, sha256=file.sha256))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # a client that is killed is no news
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        source = ("download", "labels", "--source", f"http://127.0.0.1:{server.server_port}")
        yield lambda root: (*source, "--root", root), {"NNLAB_CARDS": str(cards)}, file
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def calls(words, tmp_path_factory):
    """The calls of an undisturbed download that have to do with its root."""
    need_strace()
    arguments, env, _ = words
    for _ in range(2):  # the first may have something to cache
        root, log = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("log") / "log"
        done = run(*arguments(root), env=env, prefix=tracing(log))
        assert done.code == 0, done.stderr
    return calls_on(log, root)


def test_content_reaches_the_disk_before_the_name(calls):
    steps = ""
    for call in calls:
        if ".part" in call.text and call.name in {"write", "ftruncate"}:
            steps += "w"
        elif call.name == "fsync":
            steps += "s" if ".part" in call.text else "d"
        elif call.name.startswith("rename") and ".part" in call.text:
            steps += "r"
    assert re.fullmatch("w+srd", steps), steps


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_leaves_no_wrong_file(
    words, calls, tmp_path, whole, seed, count, fault
):
    arguments, env, file = words
    chosen = calls if whole else random.Random(f"{seed} {fault}").sample(calls, 8)
    for number, call in enumerate(chosen):
        root, log = tmp_path / str(number), tmp_path / f"{number}.log"
        root.mkdir()
        target = root / "labels" / "files" / NAME
        injected = tracing(log, fault=(call.name, FAULTS[fault], call.number))
        done = run(*arguments(root), env=env, prefix=injected)
        at = hit(log)
        assert str(root) in (at.text if at else ""), f"{call} was not met but {at}"
        assert not target.exists() or not mismatch(target, file)
        if fault == "KILL":
            assert done.code == -signal.SIGKILL
        else:
            assert done.code in {0, 2, 69}, (at, done)
            assert len(done.complaints) == (done.code != 0), (at, done)
            assert done.code or target.exists(), at
        count(f"{fault} at {call.name}")
        done = run(*arguments(root), env=env)
        assert done.code == 0, (at, done)
        assert not mismatch(target, file)
        left = {path.name for path in root.rglob("*") if path.is_file()} - {NAME}
        assert not left, (at, left)
