"""Connections to web servers, and what their failures mean.

`requests` brings the proxies and certificates that users have set in their environment
(HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, ...). Redirects are followed here and not there,
because it would read the whole body of each one, however long it is.
"""

import contextlib
import email.utils
import http.client
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from nnlab._version import __version__
from nnlab.datasets.fetching.patience import Patience

REDIRECTS = {301, 302, 303, 307, 308}
# What may pass by itself: try the same place again.
PASSING = {408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524}
HEADERS = {"User-Agent": f"nnlab/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


class TransferError(Exception):
    """An attempt that did not bring the whole file.

    Attributes:
        reason: a few words for the user.
        again: whether the same place may well answer better the next time.
        pause: seconds that the server asks to wait; 0 if it does not.
        unreachable: there was no server at all, as on a machine without a network.
    """

    def __init__(
        self, reason: str, again: bool = True, pause: float = 0.0, unreachable: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.pause = reason, again, pause
        self.unreachable = unreachable


def open_session(patience: Patience) -> requests.Session:
    """Return a session that gives every answer the same time to begin."""
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(patience.stall))
    return session


@contextlib.contextmanager
def opened(
    session: requests.Session, url: str, headers: Mapping[str, str], patience: Patience
) -> Iterator[requests.Response]:
    """Give the answer to a request, with its body still to be read.

    Raises:
        TransferError: there is none, or reading it failed within the block.
    """
    try:
        response = _answer(session, url, {**HEADERS, **headers}, patience)
        try:
            yield response
        finally:
            response.close()
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _explained(error, patience) from error


def _answer(
    session: requests.Session, url: str, headers: Mapping[str, str], patience: Patience
) -> requests.Response:
    """Return the first answer that does not point elsewhere."""
    for _ in range(patience.redirects + 1):
        try:
            response = session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(patience.connect, patience.stall),
            )
        except (ValueError, UnicodeError) as error:
            if isinstance(error, requests.RequestException):
                raise
            # What is made of addresses and headers that are none.
            raise TransferError("it does not answer as a web server does", False) from error
        if response.status_code not in REDIRECTS or "Location" not in response.headers:
            return response
        response.close()
        url = _next_place(url, response.headers["Location"])
    raise TransferError(f"more than {patience.redirects} redirects", again=False)


def refused(response: requests.Response, patience: Patience) -> TransferError:
    """Return the error of an answer that is not the file."""
    status = response.status_code
    text = f"HTTP {status} {response.reason or ''}".rstrip()
    pause = _retry_after(response.headers.get("Retry-After", ""))
    if pause > patience.longest_pause:
        return TransferError(f"{text}, come back in {pause:,.0f} s", again=False)
    return TransferError(text, again=status in PASSING, pause=pause)


def _next_place(url: str, location: str) -> str:
    try:
        place = urljoin(url, location)
        scheme = urlsplit(place).scheme
    except ValueError as error:
        raise TransferError("a redirect to no address at all", again=False) from error
    if scheme not in {"http", "https"}:
        raise TransferError(f"a redirect to {scheme or 'no'}:, which is no web address", False)
    if urlsplit(url).scheme == "https" and scheme == "http":
        raise TransferError("a redirect from https to http, which is refused", again=False)
    return place


def _retry_after(value: str) -> float:
    """Read the header Retry-After: seconds or a date; 0 if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _explained(error: Exception, patience: Patience) -> TransferError:
    """Say in a few words what a chain of network errors comes down to."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TransferError(
                f"TLS: the certificate does not verify ({cause.verify_message}); a network with "
                "its own authority needs REQUESTS_CA_BUNDLE",
                again=False,
            )
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return TransferError("TLS: the connection broke in the handshake")
        if isinstance(cause, ssl.SSLError):
            return TransferError(f"TLS: {cause.reason or 'the handshake failed'}", again=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return TransferError("the proxy of HTTP_PROXY or HTTPS_PROXY fails", unreachable=True)
    for cause in chain:
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return TransferError("its name cannot be resolved", unreachable=True)
        if isinstance(cause, requests.ConnectTimeout):
            return TransferError(f"no connection in {patience.connect:g} s", unreachable=True)
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return TransferError(_system_reason(chain) or "no connection", unreachable=True)
        if isinstance(cause, http.client.IncompleteRead):
            return TransferError("the connection ended before the file did")
        if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
            return TransferError(f"nothing came for {patience.stall:g} s")
    if isinstance(error, ValueError):  # InvalidURL, InvalidSchema, ...
        return TransferError("this is no address of the web", again=False)
    return TransferError(_system_reason(chain) or "the connection broke")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        wrapped = [item for item in error.args if isinstance(item, BaseException)]
        reason = getattr(error, "reason", None)
        if isinstance(reason, BaseException):
            wrapped.append(reason)
        for item in wrapped:
            if id(item) not in seen:
                yield from _causes(item)
        error = error.__cause__ or error.__context__


def _system_reason(chain: list[BaseException]) -> str:
    for cause in chain:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return ""


class _OnTime:
    """A connection whose answer has to begin within a time, however slowly it trickles in."""

    seconds = 30.0
    sock: Any

    def getresponse(self) -> Any:
        connected = self.sock

        def cut() -> None:
            with contextlib.suppress(OSError):
                connected.shutdown(2)

        timer = threading.Timer(self.seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()


class _Session(requests.Session):
    """A session that leaves redirects alone: even to name the next place it reads their bodies."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        return None


class _Adapter(HTTPAdapter):
    """Builds such connections."""

    def __init__(self, seconds: float) -> None:
        plain = type("Plain", (_OnTime, HTTPConnection), {"seconds": seconds})
        secure = type("Secure", (_OnTime, HTTPSConnection), {"seconds": seconds})
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools
