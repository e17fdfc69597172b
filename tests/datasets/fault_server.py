"""A web server on this machine that has real files and misbehaves as it is told.

Each path has a list of faults, one a request; when the list is used up, the last one stays. All
that a fault does is determined by its name and its number.
"""

import contextlib
import gzip
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome to our guest network</title></head></html>"
# An endless body ends here after all: nobody must be able to fill a disk.
ENDLESS_BYTES = 256 * 2**20
# How long a stalled answer holds its connection; longer than any time-out of the tests.
STALL_SECONDS = 30.0

# Faults that pass: a client that tries again gets the file.
PASSING = (
    "cut", "cut_without_length", "reset", "hang_up", "server_error", "busy", "busy_date",
    "too_many", "stall", "stall_before", "trickle", "trickle_headers", "garbage_status",
    "wrong_bytes_once", "other_version",
)  # fmt: skip
# Faults under which the file can be had all the same.
HARMLESS = (
    "none", "no_ranges", "range_is_400", "range_is_416", "earlier_range", "nameless_range",
    "redirect", "gzip_encoded", "gzip_labelled", "no_length", "chunked", "weak_tag", "tag_changes",
)  # fmt: skip
# Faults that stay: this place never gives the file.
FATAL = (
    "gone", "forbidden", "page", "page_as_file", "wrong_bytes", "too_short", "too_long_body",
    "endless", "loop", "to_file_scheme", "empty", "come_back_tomorrow", "brotli", "no_content",
    "endless_redirect", "truncated", "later_range_always",
)  # fmt: skip
KINDS = PASSING + HARMLESS + FATAL


@dataclass
class Plan:
    """What a path does: `faults[i]` answers request i, the last one all further ones.

    Attributes:
        faults: (kind, number) each; the number picks where to cut and the like, 0 to 9.
        requests: (fault, range asked for) of every request so far.
        sent: bytes of bodies sent.
    """

    faults: list[tuple[str, int]]
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0


class FaultServer(ThreadingHTTPServer):
    """Serves `files` below any prefix; `plans` maps paths to what they do."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.plans: dict[str, Plan] = {}
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """The address of the server, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    def plan(self, prefix: str, name: str, *faults: tuple[str, int]) -> Plan:
        """Say what the path /prefix/name does."""
        plan = self.plans[f"/{prefix}/{name}"] = Plan(list(faults) or [("none", 0)])
        return plan

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[FaultServer]:
    """Serve the files of a folder."""
    with FaultServer({path.name: path.read_bytes() for path in folder.iterdir()}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: FaultServer

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        """Answer as planned."""
        self.close_connection = True
        asked = self.headers.get("Range", "")
        with self.server.lock:
            plan = self.server.plans.setdefault(self.path, Plan([("none", 0)]))
            kind, number = plan.faults[min(len(plan.requests), len(plan.faults) - 1)]
            plan.requests.append((kind, asked))
        self.plan, self.kind, self.number = plan, kind, number
        name = self.path.rpartition("/")[2]
        if name not in self.server.files:
            self.send_error(404)
            return
        self.body = self.server.files[name]
        with contextlib.suppress(OSError):
            getattr(self, f"fault_{kind}", self.plain)()

    # What a good server does.

    def plain(self, body: bytes | None = None, tag: str = '"v1"', **headers: str) -> None:
        """Answer with the file, or the part of it that was asked for."""
        body = self.body if body is None else body
        start = self.start(tag)
        if start is None:
            self.head(200, len(body), ETag=tag, **headers)
            self.send(body)
        elif start >= len(body):
            self.head(416, 0, Content_Range=f"bytes */{len(body)}")
        else:
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.head(206, len(body) - start, ETag=tag, Content_Range=span, **headers)
            self.send(body[start:])

    def start(self, tag: str = '"v1"') -> int | None:
        """Where the range begins that was asked for; None if the whole file is due."""
        match = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if match is None or self.headers.get("If-Range", tag) != tag:
            return None
        return int(match[1])

    def head(self, status: int, length: int | None, **headers: str) -> None:
        """Send the status line and the headers."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.plan.sent += len(data)
        self.wfile.write(data)

    def upto(self, share: int) -> bytes:
        """The file from where it was asked for, up to so many tenths of the rest."""
        rest = self.body[self.start() or 0 :]
        return rest[: max(1, len(rest) * share // 10)]

    def begin(self) -> int:
        """Send the headers of a good answer; return where it begins."""
        start = self.start()
        size = len(self.body)
        if start is None:
            self.head(200, size, ETag='"v1"')
            return 0
        self.head(206, size - start, ETag='"v1"', Content_Range=f"bytes {start}-{size - 1}/{size}")
        return start

    # Faults that pass.

    def fault_cut(self) -> None:
        self.begin()
        self.send(self.upto(self.number))

    def fault_cut_without_length(self) -> None:
        self.head(200, None)
        self.send(self.body[: max(1, len(self.body) * self.number // 10)])

    def fault_reset(self) -> None:
        self.begin()
        self.send(self.upto(self.number))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def fault_hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def fault_server_error(self) -> None:
        self.head((500, 502, 504)[self.number % 3], 0)

    def fault_busy(self) -> None:
        self.head(503, 0, Retry_After=str(self.number % 2))

    def fault_busy_date(self) -> None:
        self.head(503, 0, Retry_After=formatdate(time.time() + self.number % 2, usegmt=True))

    def fault_too_many(self) -> None:
        self.head(429, 0, Retry_After="0" if self.number % 2 else "soon")

    def fault_stall(self) -> None:
        self.begin()
        self.send(self.upto(self.number))
        self.server.over.wait(STALL_SECONDS)

    def fault_stall_before(self) -> None:
        self.server.over.wait(STALL_SECONDS)

    def fault_trickle(self) -> None:
        self.trickle(self.upto(9), self.begin)

    def fault_trickle_headers(self) -> None:
        self.trickle(b"HTTP/1.1 200 OK\r\n" + b"X-Padding: " + b"x" * 10_000, lambda: None)

    def trickle(self, data: bytes, first: Any) -> None:
        first()
        end = time.monotonic() + STALL_SECONDS
        for byte in data:
            if time.monotonic() > end or self.server.over.wait(0.02):
                return
            self.wfile.write(bytes([byte]))

    def fault_garbage_status(self) -> None:
        self.wfile.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")

    def fault_wrong_bytes_once(self) -> None:
        self.plain(self.altered())

    def fault_other_version(self) -> None:
        """An older version of the file, cut: its bytes must not get into the newer one."""
        older = bytes(byte ^ 0x55 for byte in self.body[:1000]) + self.body[1000:]
        self.head(200, len(older), ETag='"v0"')
        self.send(older[: max(1, len(older) * self.number // 10)])

    def altered(self) -> bytes:
        """The file with a tenth of it changed."""
        body = bytearray(self.body)
        at = len(body) * self.number // 10
        for index in range(at, min(at + len(body) // 10 + 1, len(body))):
            body[index] ^= 0x55
        return bytes(body)

    # Harmless ones.

    def fault_no_ranges(self) -> None:
        self.head(200, len(self.body), Accept_Ranges="none")
        self.send(self.body)

    def fault_range_is_400(self) -> None:
        self.refuse_range(400)

    def fault_range_is_416(self) -> None:
        self.refuse_range(416)

    def refuse_range(self, status: int) -> None:
        if "Range" in self.headers:
            self.head(status, 0)
        else:
            self.plain()

    def fault_earlier_range(self) -> None:
        start = self.start()
        if not start:
            self.plain()
            return
        first, size = start * self.number // 10, len(self.body)
        self.head(206, size - first, Content_Range=f"bytes {first}-{size - 1}/{size}")
        self.send(self.body[first:])

    def fault_nameless_range(self) -> None:
        start = self.start()
        if start is None:
            self.plain()
            return
        self.head(206, len(self.body) - start)
        self.send(self.body[start:])

    def fault_redirect(self) -> None:
        name = self.path.rpartition("/")[2]
        status = (301, 302, 303, 307, 308)[self.number % 5]
        self.head(status, 0, Location=f"../elsewhere/{name}")

    def fault_gzip_encoded(self) -> None:
        self.plain(gzip.compress(self.body, 1, mtime=0), Content_Encoding="gzip")

    def fault_gzip_labelled(self) -> None:
        self.plain(Content_Encoding="x-gzip")

    def fault_no_length(self) -> None:
        self.head(200, None)
        self.send(self.body)

    def fault_chunked(self) -> None:
        self.head(200, None, Transfer_Encoding="chunked")
        for at in range(0, len(self.body), 100_000):
            block = self.body[at : at + 100_000]
            self.send(b"%x\r\n" % len(block) + block + b"\r\n")
        self.send(b"0\r\n\r\n")

    def fault_weak_tag(self) -> None:
        self.plain(tag='W/"v1"')

    def fault_tag_changes(self) -> None:
        self.plain(tag=f'"v{len(self.plan.requests)}"')

    # Fatal ones.

    def fault_gone(self) -> None:
        self.head((404, 410)[self.number % 2], 0)

    def fault_forbidden(self) -> None:
        self.head((401, 403, 407, 451)[self.number % 4], 0)

    def fault_page(self) -> None:
        self.head(200, len(PAGE), Content_Type="text/html")
        self.send(PAGE)

    def fault_page_as_file(self) -> None:
        self.plain(b"\n  " + PAGE.lower(), Content_Type="application/gzip")

    def fault_wrong_bytes(self) -> None:
        self.plain(self.altered())

    def fault_too_short(self) -> None:
        self.plain(self.body[: len(self.body) * self.number // 10 + 1])

    def fault_truncated(self) -> None:
        self.head(200, len(self.body) + 1000)
        self.send(self.body[: len(self.body) * self.number // 11])

    def fault_too_long_body(self) -> None:
        self.plain(self.body * 4)

    def fault_endless(self) -> None:
        self.head(200, None)
        self.endless()

    def endless(self) -> None:
        block = bytes(2**16)
        for _ in range(ENDLESS_BYTES // len(block)):
            if self.server.over.is_set():
                return
            self.send(block)

    def fault_loop(self) -> None:
        self.head(302, 0, Location=self.path)

    def fault_to_file_scheme(self) -> None:
        self.head(
            302, 0, Location=("file:///etc/passwd", "ftp://127.0.0.1/x", "//[::")[self.number % 3]
        )

    def fault_endless_redirect(self) -> None:
        self.head(302, None, Location=self.path)
        self.endless()

    def fault_empty(self) -> None:
        self.head(200, 0)

    def fault_no_content(self) -> None:
        self.head(204, None)

    def fault_come_back_tomorrow(self) -> None:
        self.head(503, 0, Retry_After="86400")

    def fault_brotli(self) -> None:
        self.plain(Content_Encoding="br")

    def fault_later_range_always(self) -> None:
        """Cuts, and then goes on a thousand bytes too late."""
        start = self.start()
        if start is None:
            self.head(200, len(self.body))
            self.send(self.upto(5))
            return
        first, size = min(start + 1000, len(self.body) - 1), len(self.body)
        self.head(206, size - first, Content_Range=f"bytes {first}-{size - 1}/{size}")
        self.send(self.body[first:])
