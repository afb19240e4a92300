"""Requests to a server, made in a thread of their own. The only place that knows httpx, and maps its errors.

The caller looks up between the parts of an answer: so Ctrl-C and time limits hold while a name is looked up, while
headers trickle in, and on systems where a read from a socket cannot be interrupted.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from ragcli.errors import ModelFailed
from ragcli.generation.address import Address
from ragcli.generation.events import read_json, server_message

if TYPE_CHECKING:
    import httpx

MAX_ERROR_BYTES = 64_000
MAX_MESSAGE, MAX_SAID = 200, 2000
MAX_RETRY_AFTER = 30.0
RETRIED = frozenset({408, 429, 500, 502, 503, 504})

_JOIN_SECONDS = 0.25
_NOT_AS_AN_ENDPOINT = "does not answer as an OpenAI-compatible endpoint does"
_CHECK_ADDRESS = "check the address; is there a log-in page before it?"

Item = TypeVar("Item")


class Failed(ModelFailed):
    """A request failed. `again` tells that another try may go better, after `pause` seconds at least.

    `status` is the server's, or 0 where it did not answer, and `said` its own message.
    """

    def __init__(
        self, message: str, hint: str, *, again: bool = False, pause: float = 0.0, status: int = 0, said: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.again = again
        self.pause = pause
        self.status = status
        self.said = said


class _Stopped(Exception):
    """Unwinds the thread."""


class Exchange(Generic[Item]):
    """Runs `work` in a thread and hands over what it yields. Use it in a `with`, which ends both.

    `read_seconds` bounds a silence.
    """

    def __init__(
        self,
        work: Callable[[Exchange[Item]], Generator[Item, None, None]],
        *,
        address: Address,
        headers: Mapping[str, str],
        connect_seconds: float,
        read_seconds: float,
    ) -> None:
        self._address = address
        self._host = address.host
        self._headers = headers
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        # Small, so that a server cannot fill the memory of a caller that is slow to print.
        self._items: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(64)
        self._stopped = threading.Event()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="ragcli-endpoint", daemon=True)
        self._thread.start()

    def receive(self, seconds: float) -> Item | None:
        """Return the next item, or None after the last. Raises what `work` raised, or TimeoutError."""
        try:
            item, error = self._items.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return item

    def stop(self) -> None:
        """End the connection and the thread. A look-up of a name that hangs leaves the thread to end by itself."""
        self._stopped.set()
        self._shut()
        self._thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Exchange[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self, seconds: float) -> None:
        """Wait, in the thread, unless the caller has had enough."""
        if self._stopped.wait(seconds):
            raise _Stopped

    @contextlib.contextmanager
    def request(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Iterator[httpx.Response]:
        """Ask, in the thread, and give the answer while it is read. Raises Failed, also for a status that is no 200."""
        import httpx

        timeout = httpx.Timeout(self._read_seconds, connect=self._connect_seconds)
        try:
            with (
                httpx.Client(timeout=timeout, transport=self._transport(), follow_redirects=False) as client,
                client.stream(
                    method, url, json=body, headers=dict(self._headers), extensions={"trace": self._trace}
                ) as response,
            ):
                if response.status_code != 200:
                    raise self._refused(response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError, ImportError) as error:
            # Not httpx's own errors alone: bad proxy settings and a missing certificate file come out as the others.
            raise failure(error, self._host, self._read_seconds, self._connect_seconds) from None

    def _transport(self) -> httpx.HTTPTransport | None:
        """Return a way to this machine that passes by the environment's proxies: by them, text would leave it."""
        import httpx

        if not self._address.is_local:
            return None
        # To read everybody's certificates takes longer than a short answer. Without TLS, a context that trusts nobody.
        verify = True if self._address.is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.HTTPTransport(verify=verify)

    def _refused(self, response: httpx.Response) -> Failed:
        status = response.status_code
        if 300 <= status < 400:
            target = urlsplit(response.headers.get("location", ""))
            place = one_line(target.netloc.rpartition("@")[2] + target.path)
            return Failed(
                f"{self._host} redirects to {place}, and nothing is sent there",
                "give --model that address, if you trust it",
                status=status,
            )
        said = self.clean(_message(response), MAX_SAID)
        asked = response.headers.get("retry-after", "")
        pause = float(asked) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", asked) else 0.0
        message = f"{self._host} answers {status}" + (f": {one_line(said)}" if said else "")
        if pause > MAX_RETRY_AFTER:
            message += f" (it asks to wait {pause:g} seconds)"
        again = status in RETRIED and pause <= MAX_RETRY_AFTER
        return Failed(message, _status_hint(status), again=again, pause=pause, status=status, said=said)

    def clean(self, text: str, most: int = MAX_MESSAGE) -> str:
        """Return a server's text in one short line, without the key, which some servers repeat."""
        key = self._headers.get("Authorization", "").removeprefix("Bearer ")
        return one_line(text.replace(key, "***") if key else text, most)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        stream = info.get("return_value")
        if hasattr(stream, "get_extra_info"):  # a connection was made, or TLS laid over it
            self._stream = stream
            if self._stopped.is_set():
                self._shut()

    def _shut(self) -> None:
        """Wake up a read that waits. To close the socket would not."""
        connection = self._stream.get_extra_info("socket") if self._stream is not None else None
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which changes it under the hands of the thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _run(self, work: Callable[[Exchange[Item]], Generator[Item, None, None]]) -> None:
        with contextlib.suppress(_Stopped):
            try:
                with contextlib.closing(work(self)) as items:
                    for item in items:
                        self._put(item, None)
                self._put(None, None)
            except _Stopped:
                raise
            except BaseException as error:
                self._put(None, error)

    def _put(self, item: Item | None, error: BaseException | None) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                return self._items.put((item, error), timeout=0.05)
        raise _Stopped


def failure(error: Exception, host: str, read_seconds: float, connect_seconds: float) -> Failed:
    """Return what an error of httpx, or of what lies under it, means to a user."""
    import httpx

    reason = one_line(str(error)) or type(error).__name__
    match error:
        case httpx.ConnectTimeout():
            return Failed(
                f"{host} did not accept a connection within {connect_seconds:g} seconds",
                "is the server started, and the address right?",
                again=True,
            )
        case httpx.TimeoutException():
            return Failed(f"{host} was silent for {read_seconds:g} seconds", "look at the server's log")
        case httpx.ConnectError() if _is_tls(error):
            return Failed(
                f"no safe connection to {host}: {reason}",
                "does the server speak https at all? SSL_CERT_FILE names a certificate of your own",
            )
        case httpx.ConnectError():
            return Failed(f"{host} cannot be reached: {reason}", "start the server, or check the address", again=True)
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return Failed(f"{host} broke the connection off: {reason}", "look at the server's log", again=True)
        case httpx.ProxyError():
            return Failed(f"the proxy before {host} refuses: {reason}", "check HTTPS_PROXY and NO_PROXY")
        case _:
            return Failed(
                f"{host} cannot be asked: {reason}", "check the address, and the proxy and certificate settings"
            )


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError) or "SSL" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _status_hint(status: int) -> str:
    if status in (401, 403):
        return "set RAGCLI_API_KEY to a key that is good there"
    if status == 404:
        return _CHECK_ADDRESS
    if status == 429:
        return "wait a little, or look at your quota there"
    return "look at the server's log" if status >= 500 else "the server does not take what it was sent"


def read_body(response: httpx.Response, most: int) -> bytes:
    """Return the first `most` bytes of an answer."""
    body = bytearray()
    for block in response.iter_raw():
        body += block
        if len(body) >= most:
            break
    return bytes(body[:most])


def _message(response: httpx.Response) -> str:
    """Return what the server says of its refusal. A page of HTML says nothing."""
    body = read_body(response, MAX_ERROR_BYTES)
    if message := server_message(read_json(body)):
        return message
    text = body.decode("utf-8", "replace").strip()
    return "" if text.startswith("<") or text.startswith("{") else text


def not_an_endpoint(host: str) -> Failed:
    """Return the error for a server that speaks of something else."""
    return Failed(f"{host} {_NOT_AS_AN_ENDPOINT}", _CHECK_ADDRESS)


def one_line(text: str, most: int = MAX_MESSAGE) -> str:
    """Return at most `most` printable characters of a text, in one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 10 * most]).split())
    return text if len(text) <= most else text[: most - 1] + "…"
