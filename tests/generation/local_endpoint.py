"""A local HTTP server that speaks `/v1/chat/completions`, streaming, and misbehaves when told to."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = Sequence[Mapping[str, str]]

HUGE_LINE = b"data: " + b"x" * 1_100_000 + b"\n\n"


@dataclass(frozen=True)
class Request:
    """What a client asked for; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """How one request for an answer is met. The default is to answer as a good server does.

    `status`, `headers` and `body` come instead of a stream. `pieces` is the text where the rule's is not wanted,
    `thoughts` what comes before it in the field `field`. After `cut_after` pieces the connection is cut, after
    `stall_after` it falls silent; -1 is before the headers. `refused` names parameters that are answered with 400.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    pieces: Sequence[str] | None = None
    thoughts: Sequence[str] = ()
    thoughts_field: str = "reasoning_content"
    raw: bytes = b""
    cut_after: int | None = None
    stall_after: int | None = None
    trickle: bool = False
    endless: bool = False
    usage: bool = True
    finish: str | None = "stop"
    done: bool = True
    stall_at_the_end: bool = False
    refused: Sequence[str] = ()
    pause: float = 0.0


def refusal(status: int, message: str, **headers: str) -> Turn:
    """Return a refusal in OpenAI's form."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": status}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Turn(status=status, headers={"Content-Type": "application/json", **named}, body=body)


def page(text: str, content_type: str = "text/html", status: int = 200) -> Turn:
    """Return an answer that is no stream."""
    return Turn(status=status, headers={"Content-Type": content_type}, body=text.encode())


def in_words(text: str) -> list[str]:
    """Cut a text as a model writes it: a word at a time, each with the space before it."""
    return [(" " if i else "") + word for i, word in enumerate(text.split(" "))]


@dataclass
class LocalEndpoint:
    """The server. `rule` makes the answer of the messages; `script` is used up from the front, one turn an answer.

    `models` is None where there is no list of them, `key` what has to be shown, `models_script` as `script`.
    """

    rule: Callable[[Messages], str] = lambda messages: "The warranty lasts 24 months [1]."
    script: list[Turn] = field(default_factory=list)
    models: Sequence[str] | None = ("tiny-chat",)
    models_script: list[Turn] = field(default_factory=list)
    key: str = ""
    requests: list[Request] = field(default_factory=list)
    open_connections: int = 0
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests for an answer so far."""
        return [request.body for request in self.requests if request.method == "POST"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: LocalEndpoint
    lock = threading.Lock()

    def setup(self) -> None:
        super().setup()
        with self.lock:
            self.endpoint.open_connections += 1

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        with self.lock:
            self.endpoint.open_connections -= 1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._meet({}, self.endpoint.models_script, self._list)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._meet(body, self.endpoint.script, lambda turn: self._answer(body, turn))

    def _meet(self, body: dict[str, Any], script: list[Turn], good: Callable[[Turn], None]) -> None:
        endpoint = self.endpoint
        headers = {name.lower(): value for name, value in self.headers.items()}
        endpoint.requests.append(Request(self.command, self.path, headers, body))
        turn = script.pop(0) if script else Turn()
        named = [name for name in turn.refused if name in body]
        if endpoint.key and headers.get("authorization") != f"Bearer {endpoint.key}":
            turn = refusal(401, f"Incorrect API key provided: {headers.get('authorization', 'none')}")
        elif named:
            turn = refusal(400, f"Unsupported parameter: '{named[0]}' is not supported with this model.")
        with contextlib.suppress(OSError):
            if turn.cut_after == -1:
                self.close_connection = True
            elif turn.stall_after == -1:
                self._stall()
            elif turn.trickle:
                self._trickle()
            elif turn.body is not None:
                self._send(turn.status, turn.headers, turn.body)
            elif self.path.partition("?")[0] not in ("/v1/models", "/v1/chat/completions"):
                self._send(404, {}, b"Not Found")
            else:
                good(turn)

    def _list(self, turn: Turn) -> None:
        models = self.endpoint.models
        if models is None:
            self._send(404, {}, b"Not Found")
            return
        rows = [{"id": name, "object": "model"} for name in models]
        self._send(200, {"Content-Type": "application/json"}, json.dumps({"object": "list", "data": rows}).encode())

    def _answer(self, body: dict[str, Any], turn: Turn) -> None:
        pieces = in_words(self.endpoint.rule(body["messages"])) if turn.pieces is None else turn.pieces
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"role": "assistant", "content": ""})
        if turn.raw:
            self._chunk(turn.raw)
        for thought in turn.thoughts:
            self._event({turn.thoughts_field: thought})
        for count, piece in enumerate(pieces):
            if self._breaks_off(turn, count):
                return
            self._event({"content": piece})
            self.endpoint.released.wait(turn.pause)
        while turn.endless and not self.endpoint.released.is_set():
            self._event({"content": "and so on " * 20})
        if self._breaks_off(turn, len(pieces)):
            return
        if turn.finish is not None:
            self._event({}, turn.finish)
        if turn.stall_at_the_end:
            self._stall()
            return
        wanted = body.get("stream_options", {}).get("include_usage")
        if turn.usage and wanted:
            counted = {
                "prompt_tokens": 90,
                "completion_tokens": len(pieces),
                "prompt_tokens_details": {"cached_tokens": 7},
            }
            self._chunk(b"data: " + json.dumps({"choices": [], "usage": counted}).encode() + b"\n\n")
        if turn.done:
            self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _breaks_off(self, turn: Turn, count: int) -> bool:
        if turn.stall_after == count:
            self._stall()
        elif turn.cut_after == count:
            self.close_connection = True
        return count in (turn.stall_after, turn.cut_after)

    def _event(self, delta: Mapping[str, str], finish: str | None = None) -> None:
        event = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        self._chunk(b": keep-alive\n\ndata: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stall(self) -> None:
        """Say nothing until the client leaves or the test ends."""
        self.endpoint.stalled.set()
        self.close_connection = True
        while not self.endpoint.released.is_set() and not self._has_left():
            pass

    def _has_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0.02)
        looks = 0 if isinstance(self.connection, ssl.SSLSocket) else socket.MSG_PEEK
        return bool(readable) and not self.connection.recv(1, looks)

    def _trickle(self) -> None:
        """Send headers without end, a little at a time."""
        self.endpoint.stalled.set()
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Wait: ")
        while not self.endpoint.released.wait(0.02):
            self.wfile.write(b"x")


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that left."""


@contextlib.contextmanager
def serve(endpoint: LocalEndpoint, tls: ssl.SSLContext | None = None) -> Iterator[LocalEndpoint]:
    """Run `endpoint` on a free port of this machine and set its `url`; with `tls` by https."""
    handler = type("Handler", (_Handler,), {"endpoint": endpoint})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        endpoint.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.released.set()
            server.shutdown()
            thread.join()
