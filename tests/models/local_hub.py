"""A local HTTP server that speaks the model hub's protocol, and misbehaves when told to."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Request:
    """What a client asked for; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class LocalHub:
    """The hub, or (asked for `/blob/...`) the storage host behind it.

    `files` maps `repo/path` to content. The lists are used up from the front, one entry for each GET that would send a
    file: `cuts` holds the bytes after which the connection is cut, `stalls` those after which nothing more comes, and
    `statuses` what to answer instead. `log_ins` counts the GETs to answer with a web page. `claims` maps
    `repo/path` to a size to announce instead of the real one.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    storage: LocalHub | None = None
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    wrong_bytes: bool = False
    extra_bytes: bytes = b""
    ranges: bool = True
    linked: bool = True
    hang_on: tuple[str, ...] = ()
    page: bytes = b""
    log_ins: int = 0
    claims: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def gets(self) -> list[Request]:
        """Return the GET requests so far."""
        return [request for request in self.requests if request.method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LocalHub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.requests.append(Request(self.command, self.path, headers))
        if self.command in hub.hang_on:
            hub.released.wait(30)
            self.close_connection = True
            return
        if hub.page:
            self._send(200, {}, hub.page)
            return
        content = hub.files.get(self._key())
        if content is None:
            self._send(404, {}, b"Entry not found")
            return
        described = {"X-Repo-Commit": COMMIT}
        size = hub.claims.get(self._key(), len(content))
        sha256 = hashlib.sha256(content).hexdigest()
        if hub.linked:
            described |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(size), "ETag": f'"{sha256}"'}
        else:
            described |= {"ETag": f'W/"{hashlib.sha1(content).hexdigest()}"'}
        if hub.storage is not None:
            hub.storage.files[sha256] = content
            self._send(302, {**described, "Location": f"{hub.storage.url}/blob/{sha256}"}, b"")
        else:
            self._send_file(content, described)

    def _key(self) -> str:
        path = self.path.lstrip("/")
        if path.startswith("blob/"):
            return path.removeprefix("blob/")
        for revision in ("main", COMMIT):
            path = path.replace(f"/resolve/{revision}/", "/")
        return path

    def _send_file(self, content: bytes, headers: dict[str, str]) -> None:
        hub = self.hub
        sending = self.command == "GET"
        if sending and hub.statuses and (status := hub.statuses.pop(0)):
            self._send(status, {}, b"")
            return
        if sending and hub.log_ins:
            hub.log_ins -= 1
            self._send(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Welcome to the airport</html>")
            return
        body, status = content, 200
        if sending and hub.wrong_bytes:
            body = bytes(byte ^ 1 for byte in body)
        wanted = self.headers.get("Range")
        if wanted and hub.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
                return
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            body, status = body[start:], 206
        cut = hub.cuts.pop(0) if sending and hub.cuts else None
        stall = hub.stalls.pop(0) if sending and hub.stalls else None
        self._send(status, headers, body + (hub.extra_bytes if sending else b""), stall or cut, stall is not None)

    def _send(
        self, status: int, headers: Mapping[str, str], body: bytes, cut: int | None = None, stalls: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(OSError):
                self.wfile.write(body if cut is None else body[:cut])
                self.wfile.flush()
        if stalls:
            self.hub.released.wait(30)
        if cut is not None:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that left."""


@contextlib.contextmanager
def serve(hub: LocalHub, host: str = "127.0.0.1") -> Iterator[LocalHub]:
    """Run `hub` on a free port of this machine and set its `url`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with _Server((host, 0), handler) as server:
        hub.url = f"http://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            server.shutdown()
            thread.join()
