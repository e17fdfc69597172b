"""A small data file of real images for the tests of the commands."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture(scope="session")
def softmax_run(nnlab, fashion_file, tmp_path_factory):
    """The run file of a softmax classifier of two epochs."""
    path = tmp_path_factory.mktemp("runs") / "softmax.h5"
    done = nnlab("train", fashion_file, "-o", path, "--epochs", 2)
    assert done.code == 0, done.stderr
    return path


@pytest.fixture
def in_terminal():
    """Run nnlab at a terminal so many columns wide; return its exit code and all lines it drew."""

    def run(columns, *arguments):
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        with subprocess.Popen(
            [sys.executable, "-m", "nnlab.cli", *map(str, arguments)], stdin=its, stdout=its,
            stderr=its, start_new_session=True,
        ) as process:  # fmt: skip
            os.close(its)
            drawn = bytearray()
            while part := _read(ours):
                drawn += part
        os.close(ours)
        lines = re.split(r"[\r\n]+", ESCAPE.sub("", drawn.decode()))
        return process.returncode, [line.rstrip() for line in lines if line.strip()]

    return run


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody holds the other side any more
        return b""
