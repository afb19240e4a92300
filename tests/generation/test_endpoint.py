"""OpenAI-compatible endpoints against a local server: answers, refusals, stalls, half streams, and who gets the key."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from generation.local_endpoint import HUGE_LINE, LocalEndpoint, Turn, page, refusal, serve

from ragcli.errors import ModelError, ModelFailed, UsageError
from ragcli.generation.address import Address, key_for
from ragcli.generation.base import Generation, Generator, Message
from ragcli.generation.endpoint import EndpointGenerator, estimate
from ragcli.generation.exchange import failure

QUESTION = (Message("system", "Answer from the passages."), Message("user", "How long is the warranty?"))
ANSWER = "The warranty lasts 24 months [1]."
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server() -> Iterator[LocalEndpoint]:
    """A server; after the test, no connection to it and no thread of ours is left."""
    with serve(LocalEndpoint()) as running:
        yield running
        end = time.monotonic() + 2
        while running.open_connections and time.monotonic() < end:
            time.sleep(0.01)
        assert running.open_connections == 0
        assert not [thread.name for thread in threading.enumerate() if thread.name == "ragcli-endpoint"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this machine that nobody else vouches for, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(form) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


def open_endpoint(server: LocalEndpoint, at: str = "", **arguments: Any) -> EndpointGenerator:
    """A generator that loses no time."""
    return EndpointGenerator(server.url + at, **{"pause_seconds": 0.01, "read_seconds": 0.5, **arguments})


def ask(generator: Generator, on_text: Callable[[str], None] | None = None, max_tokens: int = 64) -> Generation:
    return generator.generate(QUESTION, max_tokens=max_tokens, temperature=0.0, seed=1, on_text=on_text)


def fails(server: LocalEndpoint, **arguments: Any) -> ModelFailed:
    """Return how an answer fails."""
    with pytest.raises(ModelFailed) as caught:
        ask(open_endpoint(server, **arguments))
    return caught.value


# Answers


def test_an_answer_is_streamed(server: LocalEndpoint) -> None:
    server.script = [Turn(pause=0.02)]
    heard: list[str] = []
    with open_endpoint(server, "#tiny-chat") as generator:
        made = ask(generator, heard.append)
    assert "".join(heard) == made.text == ANSWER
    assert len(heard) == 6
    assert (made.prompt_tokens, made.completion_tokens, made.reused_tokens, made.stopped) == (90, 6, 7, "end")
    assert 0 < made.first_token_ms < 1000
    assert 0 < made.tokens_per_s < 500  # five pieces after the first, 20 ms apart
    assert generator.warning == ""


def test_what_is_asked(server: LocalEndpoint) -> None:
    open_endpoint(server, "#tiny-chat").generate(QUESTION, max_tokens=9, temperature=0.5, seed=3)
    assert server.asked == [
        {
            "model": "tiny-chat",
            "messages": [
                {"role": "system", "content": "Answer from the passages."},
                {"role": "user", "content": "How long is the warranty?"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 9,
            "temperature": 0.5,
            "seed": 3,
        }
    ]
    assert [request.path for request in server.requests] == ["/v1/chat/completions"]
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_addresses_may_end_anywhere(server: LocalEndpoint, end: str) -> None:
    generator = open_endpoint(server, f"{end}?version=2#tiny-chat")
    assert ask(generator).text == ANSWER
    assert server.requests[-1].path == "/v1/chat/completions?version=2"
    assert generator.name == f"tiny-chat@{server.url.removeprefix('http://')}"


def test_other_paths_are_kept() -> None:
    assert Address.parse("https://host/api/v1").url("/models") == "https://host/api/v1/models"
    assert Address.parse("https://host/v1beta/openai/").url("/models") == "https://host/v1beta/openai/models"
    assert Address.parse("http://[::1]:8080").base == "http://[::1]:8080/v1"


def test_the_first_model_that_can_write_is_taken(server: LocalEndpoint) -> None:
    server.models = ["text-embedding-nomic", "qwen2.5:7b", "other"]
    generator = open_endpoint(server)
    for _ in range(2):
        assert ask(generator).text == ANSWER
    assert [request.method for request in server.requests] == ["GET", "POST", "POST"]
    assert server.asked[0]["model"] == "qwen2.5:7b"
    assert generator.name.startswith("qwen2.5:7b@127.0.0.1:")
    assert "offers 2 models, and qwen2.5:7b is taken" in generator.warning


@pytest.mark.parametrize("named", [{"model": "org/name"}, {"at": "#org/name"}, {"at": "#org%2Fname"}])
def test_a_named_model_is_taken_unasked(server: LocalEndpoint, named: dict[str, str]) -> None:
    generator = open_endpoint(server, **named)
    ask(generator)
    assert [request.body["model"] for request in server.requests] == ["org/name"]


def test_a_check_sends_no_text(server: LocalEndpoint) -> None:
    server.models_script = [refusal(503, "Loading model")]
    generator = open_endpoint(server)
    generator.check()
    assert generator.name.startswith("tiny-chat@")
    assert [request.method for request in server.requests] == ["GET", "GET"]
    server.models = None
    open_endpoint(server, "#named").check()  # no list, but it may answer all the same
    with pytest.raises(ModelFailed, match="answers 404"):
        open_endpoint(server).check()


def test_thoughts_are_left_out(server: LocalEndpoint) -> None:
    for name in ("reasoning_content", "reasoning"):
        server.script = [Turn(thoughts=["Let me", " see."], thoughts_field=name)]
        assert ask(open_endpoint(server)).text == ANSWER
    heard: list[str] = []
    server.script = [Turn(pieces=["\n<th", "ink>\nHm", "m</thi", "nk>\n\nTwo", " years"])]
    assert ask(open_endpoint(server), heard.append).text == "Two years"
    assert heard == ["Two", " years"]


def test_thoughts_alone_are_no_answer(server: LocalEndpoint) -> None:
    for turn in (Turn(pieces=[], thoughts=["Hm"], finish="length"), Turn(pieces=["<think>Hm"], finish="length")):
        server.script = [turn]
        assert "spent all of its 64 tokens on thoughts" in fails(server).message


def test_usage_is_estimated_where_the_server_does_not_count(server: LocalEndpoint) -> None:
    server.script = [Turn(usage=False)]
    generator = open_endpoint(server)
    made = ask(generator)
    assert made.prompt_tokens == generator.count_tokens(QUESTION)
    assert made.completion_tokens == estimate(ANSWER)


@pytest.mark.parametrize("turn", [Turn(finish=None), Turn(done=False), Turn(done=False, usage=False)], ids=repr)
def test_either_end_is_an_end(server: LocalEndpoint, turn: Turn) -> None:
    server.script = [turn]
    made = ask(open_endpoint(server))
    assert (made.text, made.stopped) == (ANSWER, "end")


def test_an_answer_that_is_too_long_is_cut(server: LocalEndpoint) -> None:
    server.script = [Turn(finish="length"), Turn(endless=True)]
    assert ask(open_endpoint(server)).stopped == "length"
    made = ask(open_endpoint(server), max_tokens=100)  # a server that knows no limit
    assert (len(made.text), made.stopped) == (6400, "length")


def test_a_server_that_does_not_hang_up_is_left(server: LocalEndpoint) -> None:
    server.script = [Turn(stall_at_the_end=True)]
    start = time.monotonic()
    assert ask(open_endpoint(server)).text == ANSWER
    assert time.monotonic() - start < 3


def test_a_server_that_does_not_stream_is_understood(server: LocalEndpoint) -> None:
    whole = '{"choices": [{"message": {"role": "assistant", "content": "Two years."}}], "usage": null}'
    server.script = [page(whole, "application/json")]
    made = ask(open_endpoint(server))
    assert (made.text, made.stopped) == ("Two years.", "end")


def test_half_characters_do_no_harm(server: LocalEndpoint) -> None:
    server.script = [Turn(pieces=["a\ud83d", "\ude00", "保修"])]
    assert ask(open_endpoint(server)).text == "a??保修"
    open_endpoint(server).generate([Message("user", "a\ud83d")], max_tokens=4)
    assert server.asked[-1]["messages"][0]["content"] == "a?"


def test_proxies_never_see_what_is_for_this_machine(server: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "nonsense://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert ask(open_endpoint(server)).text == ANSWER


def test_a_filtered_answer_is_told(server: LocalEndpoint) -> None:
    server.script = [Turn(finish="content_filter")]
    generator = open_endpoint(server)
    ask(generator)
    assert "cut the answer off" in generator.warning


# Addresses, keys, and who is told what


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "http://",
        "host:8080",
        "http://host:port",
        "http://ho st",
        "http://host:99999",
        "http://[::1",
        "http://a\nb",
    ],
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(UsageError, match="not an http or https address"):
        EndpointGenerator(url)


@pytest.mark.parametrize("url", ["http://me:word@host", "https://word@host/v1"])
def test_passwords_in_an_address_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        EndpointGenerator(url)
    assert "word@" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "warns", "here"),
    [
        ("http://127.0.0.1:1", False, True),
        ("http://localhost:1", False, True),
        ("http://[::1]:1", False, True),
        ("https://host", False, False),
        ("http://host:8000", True, False),
        ("http://10.0.0.2", True, False),
        ("http://127.0.0.1.example.org", True, False),
    ],
)
def test_who_is_told_what(url: str, warns: bool, here: bool) -> None:
    generator = EndpointGenerator(f"{url}/v1?token=secret#name")
    host = url.partition("://")[2]
    assert generator.notice == f"the question and the passages are sent to {host}" + " on this machine" * here
    assert bool(generator.warning) is warns
    assert generator.name == f"name@{host}"
    if not here:
        with pytest.raises(ModelFailed, match="RAGCLI_OFFLINE") as caught:
            EndpointGenerator(url, offline=True)
        assert caught.value.exit_code == 5
    else:
        EndpointGenerator(url, offline=True)


def test_the_key_is_for_those_it_is_meant_for(monkeypatch: pytest.MonkeyPatch, server: LocalEndpoint) -> None:
    monkeypatch.delenv("RAGCLI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert key_for("https://api.openai.com/v1") == "sk-openai"
    assert key_for("https://api.openai.com.example.org/v1") == key_for("http://127.0.0.1") == ""
    ask(EndpointGenerator.from_environment(server.url))
    assert "authorization" not in server.requests[-1].headers
    monkeypatch.setenv("RAGCLI_API_KEY", f" {KEY}\n")
    assert key_for("https://api.openai.com/v1") == key_for("http://127.0.0.1") == KEY
    server.key = KEY
    assert ask(EndpointGenerator.from_environment(server.url)).text == ANSWER


def test_the_key_is_in_no_error(server: LocalEndpoint) -> None:
    server.key = "another"
    error = fails(server, key=KEY)
    assert error.message.endswith("answers 401: Incorrect API key provided: Bearer ***")
    assert "RAGCLI_API_KEY" in error.hint
    assert KEY not in error.message + error.hint
    assert len(server.requests) == 1
    with pytest.raises(UsageError) as caught:
        open_endpoint(server, key=f"{KEY}\nX-Other: 1")
    assert KEY not in caught.value.message + caught.value.hint


def test_redirects_are_refused(server: LocalEndpoint) -> None:
    with serve(LocalEndpoint()) as other:
        for status in (301, 302, 303, 307, 308):
            server.script = [
                Turn(status=status, headers={"Location": f"{other.url}/v1/chat/completions?q=1"}, body=b"")
            ]
            error = fails(server, key=KEY)
            assert f"redirects to {other.url.removeprefix('http://')}/v1/chat/completions, and nothing" in error.message
        server.models_script = [Turn(status=302, headers={"Location": f"{other.url}/v1/models"}, body=b"")]
        assert "redirects to" in fails(server, key=KEY).message
        assert other.requests == []


# Servers that refuse


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: LocalEndpoint, status: int) -> None:
    server.script = [refusal(status, "busy"), refusal(status, "busy")]
    assert ask(open_endpoint(server)).text == ANSWER
    server.script = [refusal(status, "busy")] * 3
    error = fails(server)
    assert error.message.endswith(f"answers {status}: busy")
    assert len(server.asked) == 6
    assert server.script == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 501])
def test_what_will_not_pass_is_not(server: LocalEndpoint, status: int) -> None:
    server.script = [refusal(status, "never")]
    assert f"answers {status}: never" in fails(server).message
    assert len(server.asked) == 1


def test_the_server_says_how_long_to_wait(server: LocalEndpoint) -> None:
    server.script = [refusal(429, "slow down", Retry_After="0.3")]
    start = time.monotonic()
    assert ask(open_endpoint(server)).text == ANSWER
    assert time.monotonic() - start > 0.3
    server.script = [refusal(429, "slow down", Retry_After="3600")]
    assert fails(server).message.endswith("answers 429: slow down (it asks to wait 3600 seconds)")
    assert len(server.asked) == 3


def test_connections_that_break_early_are_tried_again(server: LocalEndpoint) -> None:
    server.script = [Turn(cut_after=-1), Turn(cut_after=0)]
    assert ask(open_endpoint(server)).text == ANSWER
    assert len(server.asked) == 3


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        generator = EndpointGenerator(f"http://127.0.0.1:{port}", pause_seconds=0.01)
        for work in (lambda: ask(generator), generator.check):
            with pytest.raises(ModelFailed, match=f"127.0.0.1:{port} cannot be reached: .*refused") as caught:
                work()
            assert caught.value.hint == "start the server, or check the address"


def test_a_server_without_tls(server: LocalEndpoint) -> None:
    with pytest.raises(ModelFailed, match="no safe connection to 127.0.0.1") as caught:
        ask(EndpointGenerator(server.url.replace("http:", "https:")))
    assert "speak https" in caught.value.hint


def test_https(certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = certificate
    with serve(LocalEndpoint(script=[Turn(), Turn(stall_after=2)]), context) as server:
        assert "CERTIFICATE_VERIFY_FAILED" in fails(server).message
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert ask(open_endpoint(server)).text == ANSWER
        assert "was silent for 0.5 seconds (12 characters" in fails(server).message
        assert not [thread for thread in threading.enumerate() if thread.name == "ragcli-endpoint"]


def test_a_model_that_is_not_there(server: LocalEndpoint) -> None:
    server.models = ["qwen2.5:7b", "llama3.2:3b"]
    server.script = [refusal(404, 'model "qwen2.5-7b" not found')]
    error = fails(server, model="qwen2.5-7b")
    assert error.message.endswith('answers 404: model "qwen2.5-7b" not found')
    assert error.hint == "it offers qwen2.5:7b"
    server.script = [refusal(404, "The model `x` does not exist.")]
    assert fails(server, model="x").hint == "it offers qwen2.5:7b, llama3.2:3b"
    server.models = []
    assert "offers no model" in fails(server).message


def test_a_wrong_path(server: LocalEndpoint) -> None:
    error = fails(server, at="/elsewhere/v1", model="tiny-chat")
    assert error.message.endswith("answers 404: Not Found")
    assert "address" in error.hint


def test_what_a_server_does_not_know_is_left_out(server: LocalEndpoint) -> None:
    refused = ("stream_options", "seed", "temperature")
    server.script = [Turn(refused=refused)] * 4
    generator = open_endpoint(server, tries=1)
    assert ask(generator).text == ANSWER
    assert set(server.asked[-1]) == {"model", "messages", "stream", "max_tokens"}
    assert "takes no temperature" in generator.warning
    server.script = [Turn(refused=refused)]
    assert ask(generator).text == ANSWER  # remembered
    assert len(server.asked) == 5

    words = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    server.script = [refusal(400, words)]
    assert ask(open_endpoint(server)).text == ANSWER
    assert server.asked[-1]["max_completion_tokens"] == 64
    assert "max_tokens" not in server.asked[-1]
    server.script = [refusal(400, words)] * 2
    assert "answers 400" in fails(server).message  # not for ever


def test_a_prompt_that_is_too_long(server: LocalEndpoint) -> None:
    words = "This model's maximum context length is 4096 tokens; 'max_completion_tokens' is too large"
    server.script = [refusal(400, words)]
    error = fails(server)
    assert "context_size" in error.hint
    assert len(server.asked) == 1


def test_a_long_refusal_is_short(server: LocalEndpoint) -> None:
    server.script = [refusal(400, "why\n\x1b[31m" + "so " * 90_000), page("<html>" * 500, status=400)]
    message = fails(server).message
    assert len(message) < 260
    assert message.isprintable()
    assert fails(server).message.endswith("answers 400")


# Servers that stall, and half streams


def test_half_a_stream(server: LocalEndpoint) -> None:
    for turn in (Turn(cut_after=3), Turn(finish=None, done=False, usage=False)):
        heard: list[str] = []
        server.script = [turn]
        with pytest.raises(ModelFailed, match="ended the answer in the middle") as caught:
            ask(open_endpoint(server), heard.append)
        assert ANSWER.startswith("".join(heard)) and heard
        assert f"({len(''.join(heard))} characters of the answer came before)" in caught.value.message
        assert caught.value.exit_code == 5
    assert len(server.asked) == 2  # never again once text was given


@pytest.mark.parametrize(
    ("turn", "arguments", "message"),
    [
        (Turn(stall_after=-1), {"read_seconds": 0.1}, "was silent for 0.5 seconds"),
        (Turn(stall_after=0), {"read_seconds": 0.1}, "was silent for 0.5 seconds"),
        (Turn(stall_after=2), {"read_seconds": 0.4}, r"was silent for 0.4 seconds \(12 characters"),
        (Turn(stall_after=2), {"seconds": 0.4, "read_seconds": 9}, "did not end its answer within 0.4 seconds"),
        (Turn(trickle=True), {"seconds": 0.4}, "did not end its answer within 0.4 seconds"),
        (Turn(pieces=["a "] * 500, pause=0.01), {"seconds": 0.4}, "did not end its answer within 0.4 seconds"),
    ],
)
def test_stalls(server: LocalEndpoint, turn: Turn, arguments: dict[str, Any], message: str) -> None:
    server.script = [turn]
    start = time.monotonic()
    with pytest.raises(ModelFailed, match=message):
        ask(open_endpoint(server, **arguments))
    assert time.monotonic() - start < 2
    assert len(server.asked) == 1


def test_a_server_may_take_its_time_before_the_first_word(server: LocalEndpoint) -> None:
    server.rule = lambda messages: time.sleep(0.5) or ANSWER  # type: ignore[func-returns-value]
    assert ask(open_endpoint(server, read_seconds=0.2)).text == ANSWER


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (page("<html>log in</html>"), "does not answer as an OpenAI-compatible endpoint does"),
        (page("nonsense", "application/json"), "sends what is no chat completion"),
        (page('{"a": 1}', "application/json"), "does not answer as an OpenAI-compatible endpoint does"),
        (page("hello", "text/event-stream"), "ended its stream before the answer"),
        (Turn(raw=b"data: nonsense\n\n"), "sends what is no chat completion"),
        (Turn(raw=b"data: [1]\n\n"), "sends what is no chat completion"),
        (Turn(raw=b"data: " + b"[" * 100_000 + b"\n\n"), "sends what is no chat completion"),
        (Turn(raw=b"data: \xff\xfe\x00\n\n"), "sends what is no chat completion"),
        (Turn(raw=HUGE_LINE), "sends a line of over 1 MB"),
        (Turn(raw=b'data: {"error": {"message": "out of memory"}}\n\n'), "failed: out of memory"),
    ],
)
def test_garbage(server: LocalEndpoint, turn: Turn, message: str) -> None:
    server.script = [turn] * 3
    assert message in fails(server).message


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", '{"data": 1}', "<html>", '{"data": [1, {"id": 2}, {"id": "a\\nb"}, {"id": ""}]}', "[" * 99_999],
)
def test_a_list_of_models_that_is_none(server: LocalEndpoint, text: str) -> None:
    server.models_script = [page(text, "application/json")]
    fails(server)
    assert server.asked == []


# Ctrl-C


@pytest.mark.parametrize(
    ("turn", "text"),
    [(Turn(stall_after=-1), ""), (Turn(trickle=True), ""), (Turn(stall_after=3), "The warranty lasts")],
    ids=["before the headers", "in the headers", "in the answer"],
)
def test_ctrl_c_ends_an_answer(server: LocalEndpoint, ctrl_c: Callable[[], None], turn: Turn, text: str) -> None:
    server.script = [turn]
    pressed: list[float] = []

    def press() -> None:
        server.stalled.wait(5)
        time.sleep(0.1)
        pressed.append(time.monotonic())
        ctrl_c()

    thread = threading.Thread(target=press)
    thread.start()
    made = ask(open_endpoint(server, read_seconds=9))
    assert time.monotonic() - pressed[0] < 0.5
    thread.join()
    assert (made.text, made.stopped) == (text, "interrupted")


def test_ctrl_c_while_it_waits_to_try_again(server: LocalEndpoint, ctrl_c: Callable[[], None]) -> None:
    server.script = [refusal(503, "busy", Retry_After="20")]
    timer = threading.Timer(0.3, ctrl_c)
    timer.start()
    start = time.monotonic()
    assert ask(open_endpoint(server, read_seconds=9)).stopped == "interrupted"
    assert time.monotonic() - start < 0.8
    timer.join()


def test_ctrl_c_ends_a_check(server: LocalEndpoint, ctrl_c: Callable[[], None]) -> None:
    server.models_script = [Turn(stall_after=-1)]
    timer = threading.Timer(0.2, ctrl_c)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        open_endpoint(server, read_seconds=9).check()
    assert time.monotonic() - start < 0.7
    timer.join()


def test_ctrl_c_while_text_is_printed(server: LocalEndpoint) -> None:
    count = itertools.count()

    def on_text(text: str) -> None:
        if next(count) == 2:
            raise KeyboardInterrupt

    made = ask(open_endpoint(server), on_text)
    assert (made.text, made.stopped) == ("The warranty lasts", "interrupted")


def test_an_error_of_the_caller_ends_the_answer(server: LocalEndpoint) -> None:
    server.script = [Turn(endless=True)]

    def on_text(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ask(open_endpoint(server), on_text)


# The seam


def subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


@pytest.mark.parametrize("kind", sorted({httpx.TransportError, *subclasses(httpx.TransportError)}, key=str))
def test_every_error_of_the_transport_is_one_of_ours(kind: type[Exception]) -> None:
    for text in ("what\nhappened", ""):
        error = failure(kind(text), "host:1", 60, 10)
        assert isinstance(error, ModelError)
        assert error.message.isprintable() and "host:1" in error.message and error.hint


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "SSL_CERT_FILE"])
def test_bad_settings_around_it(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "nonsense://nowhere")
    with pytest.raises(ModelFailed) as caught:
        ask(EndpointGenerator("https://ragcli.invalid#name", tries=1, connect_seconds=1))
    assert "ragcli.invalid" in caught.value.message


# Counting


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("warranty", 3), ("a b", 1), ("24 months.", 5), ("保修期为24个月。", 9), ("a\n\n\nb\n", 3), ("Übung", 3)],
)
def test_the_estimate_of_tokens(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_messages_cost_tokens_of_their_own() -> None:
    generator = EndpointGenerator("http://127.0.0.1:1")
    assert generator.count_tokens([Message("user", "warranty")]) == 24 + 8 + 3
    assert generator.count_tokens([Message("user", "")] * 2) == 24 + 16
