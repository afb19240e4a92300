"""The hub client against a local server: resuming, refusing, giving up in time, and keeping the token to itself."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.local_hub import COMMIT, LocalHub, serve

from ragcli.errors import DownloadFailed, UsageError
from ragcli.models.files import no_progress
from ragcli.models.hub import Hub, Unreachable

DATA = random.Random(3).randbytes(300_000)
NAME = "maker/model/weights.bin"


@pytest.fixture
def server() -> Iterator[LocalHub]:
    """A hub with one file."""
    with serve(LocalHub({NAME: DATA})) as running:
        yield running


def client(server: LocalHub, token: str = "") -> Hub:
    """A client that loses no time."""
    return Hub(server.url, token, answer_seconds=1, read_seconds=1, pause_seconds=0.01)


def download(hub: Hub, part: Path) -> list[tuple[str, int, int]]:
    """Download the file into `part` and return what was said of the progress."""
    heard: list[tuple[str, int, int]] = []
    remote = hub.describe("maker/model", "weights.bin")
    hub.download(remote, part, "weights", lambda *args: heard.append(args))
    return heard


def test_describe_reads_size_checksum_and_commit(server: LocalHub) -> None:
    remote = client(server).describe("maker/model", "weights.bin")
    assert remote.size == len(DATA)
    assert len(remote.sha256) == 64
    assert remote.commit == COMMIT


def test_a_small_file_has_no_checksum_at_the_hub(server: LocalHub) -> None:
    server.linked = False
    remote = client(server).describe("maker/model", "weights.bin")
    assert (remote.size, remote.sha256) == (len(DATA), "")
    assert len(remote.etag) == 40


def test_download_tells_its_progress(server: LocalHub, tmp_path: Path) -> None:
    heard = download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert heard[-1] == ("weights", len(DATA), len(DATA))
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_a_cut_download_asks_only_for_the_rest(server: LocalHub, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert [request.headers.get("range") for request in server.gets()] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_run_goes_on_where_the_first_stopped(server: LocalHub, tmp_path: Path) -> None:
    server.cuts = [90_000, 0, 0]
    with pytest.raises(DownloadFailed) as caught:
        download(client(server), tmp_path / "part")
    assert not isinstance(caught.value, Unreachable)
    assert "goes on where it stopped" in caught.value.hint
    server.requests.clear()
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert [request.headers.get("range") for request in server.gets()] == ["bytes=90000-"]


def test_nothing_is_asked_for_when_all_is_there(server: LocalHub, tmp_path: Path) -> None:
    download(client(server), tmp_path / "part")
    server.requests.clear()
    download(client(server), tmp_path / "part")
    assert server.gets() == []


def test_a_changed_file_starts_over(server: LocalHub, tmp_path: Path) -> None:
    server.cuts = [90_000, 0, 0]
    with pytest.raises(DownloadFailed):
        download(client(server), tmp_path / "part")
    server.files[NAME] = DATA[::-1]
    server.requests.clear()
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA[::-1]
    assert [request.headers.get("range") for request in server.gets()] == [None]


def test_a_server_without_ranges_sends_it_all_again(server: LocalHub, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100_000]
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_refused_range_starts_over(server: LocalHub, tmp_path: Path) -> None:
    server.cuts = [100_000]
    server.statuses = [0, 416]
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert [request.headers.get("range") for request in server.gets()] == [None, "bytes=100000-", None]


def test_a_part_that_is_too_long_starts_over(server: LocalHub, tmp_path: Path) -> None:
    download(client(server), tmp_path / "part")
    (tmp_path / "part").write_bytes(DATA + b"more")
    server.cuts = []
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_busy_server_is_asked_again(server: LocalHub, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    download(client(server), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_final(server: LocalHub, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(DownloadFailed, match=str(status)) as caught:
        download(client(server), tmp_path / "part")
    assert len(server.gets()) == 1
    assert ("HF_TOKEN" in caught.value.hint) == (status != 404)


def test_more_than_announced_is_never_kept(server: LocalHub, tmp_path: Path) -> None:
    server.extra_bytes = b"x" * 1000
    with pytest.raises(DownloadFailed, match="more"):
        download(client(server), tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_a_download_that_stalls_ends(server: LocalHub, tmp_path: Path) -> None:
    server.hang_on = ("GET",)
    hub = Hub(server.url, answer_seconds=1, read_seconds=0.2, pause_seconds=0.01)
    start = time.monotonic()
    with pytest.raises(Unreachable):
        download(hub, tmp_path / "part")
    assert time.monotonic() - start < 3


def test_a_closed_port_is_told_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(Unreachable, match="cannot be reached"):
        Hub(f"http://127.0.0.1:{port}").describe("maker/model", "weights.bin")
    assert time.monotonic() - start < 3


def test_a_server_that_never_answers_is_given_up_and_not_asked_again(server: LocalHub) -> None:
    server.hang_on = ("HEAD",)
    hub = Hub(server.url, answer_seconds=0.3)
    start = time.monotonic()
    for _ in range(3):
        with pytest.raises(Unreachable, match="did not answer within 0.3 seconds"):
            hub.describe("maker/model", "weights.bin")
    assert time.monotonic() - start < 2
    assert len(server.requests) == 1


def test_a_server_that_answers_drop_by_drop_is_given_up() -> None:
    """Each single wait is short; only a limit on the whole keeps the promise."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hub = Hub(f"http://127.0.0.1:{listening.getsockname()[1]}", answer_seconds=0.5)
        stop = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"X-More: yes\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        start = time.monotonic()
        try:
            with pytest.raises(Unreachable, match="did not answer"):
                hub.describe("maker/model", "weights.bin")
            assert time.monotonic() - start < 3
        finally:
            stop.set()
            thread.join()


def test_a_log_in_page_is_not_a_hub(server: LocalHub) -> None:
    server.page = b"<html>Welcome to the airport</html>"
    with pytest.raises(Unreachable, match="does not answer as a model hub does"):
        client(server).describe("maker/model", "weights.bin")


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://host", "file:///etc/passwd", "https://"])
def test_an_address_that_is_none(endpoint: str) -> None:
    with pytest.raises(UsageError, match="HF_ENDPOINT"):
        Hub(endpoint)


def test_the_token_goes_to_the_hub_and_to_nobody_else(server: LocalHub, tmp_path: Path) -> None:
    with serve(LocalHub(), host="localhost") as storage:
        server.storage = storage
        server.cuts = []
        storage.cuts = [100_000]
        download(client(server, token="secret"), tmp_path / "part")
        assert (tmp_path / "part").read_bytes() == DATA
        assert {request.headers.get("authorization") for request in server.requests} == {"Bearer secret"}
        assert [request.method for request in storage.requests] == ["GET", "GET"]
        assert {request.headers.get("authorization") for request in storage.requests} == {None}
        assert storage.requests[1].headers["range"] == "bytes=100000-"


def test_environment_names_hub_and_token(server: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    monkeypatch.setenv("HF_TOKEN", " secret\n")
    remote = Hub.from_environment().describe("maker/model", "weights.bin")
    Hub.from_environment().download(remote, tmp_path / "part", "weights", no_progress)
    assert {request.headers.get("authorization") for request in server.requests} == {"Bearer secret"}
