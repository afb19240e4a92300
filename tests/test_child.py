"""Child processes: messages of any size come over whole, and no child can hold its parent up."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragcli.child import Channel, Child, ChildBabbled, ChildDied, ChildTimeout

WORKER = """
import os, sys, time
from ragcli.child import serve
channel = serve()
message, payload = channel.receive()
{body}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Child]]:
    """Start a child whose body runs once it has received a message."""
    made: list[Child] = []

    def run(body: str) -> Child:
        name = f"a_worker_{len(made)}"
        (tmp_path / f"{name}.py").write_text(WORKER.format(body=body), "utf-8")
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        made.append(Child(name, environment={"PYTHONPATH": path}))
        return made[-1]

    yield run
    for child in made:
        child.kill()
        child.close()


def pair() -> tuple[Channel, Channel]:
    """Return both ends of a channel within this process."""
    there_read, here_write = os.pipe()
    here_read, there_write = os.pipe()
    return Channel(here_read, here_write), Channel(there_read, there_write)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)


@given(st.dictionaries(st.text(), JSON), st.binary())
def test_what_is_sent_is_received(message: dict[str, object], payload: bytes) -> None:
    here, there = pair()
    here.send(message, payload)
    assert there.receive(time.monotonic() + 5) == (message, payload)
    assert not there.poll(0)
    here.close()
    there.close()


def test_a_message_larger_than_the_pipe_goes_both_ways(start: Callable[[str], Child]) -> None:
    child = start("channel.send(message, payload[::-1])")
    data = bytes(range(256)) * 40_000
    child.send({"text": "中\ud800"}, data, timeout=30)
    assert child.receive(30) == ({"text": "中\ud800"}, data[::-1])


def test_messages_do_not_mix(start: Callable[[str], Child]) -> None:
    child = start("for n in range(300): channel.send({'n': n}, bytes([n % 256]) * n)")
    child.send({})
    for n in range(300):
        assert child.receive(10) == ({"n": n}, bytes([n % 256]) * n)
    with pytest.raises(ChildDied) as death:
        child.receive(10)
    assert (death.value.code, death.value.signal) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(60)",
        "os.write(channel._writer, b'\\0' * 5); time.sleep(60)",  # half of the sizes
        "os.write(channel._writer, (1000).to_bytes(8) + bytes(8) + b'{'); time.sleep(60)",  # half of a message
    ],
    ids=["silent", "in the sizes", "in the message"],
)
def test_a_child_that_stops_in_the_middle_meets_the_deadline(start: Callable[[str], Child], body: str) -> None:
    child = start(body)
    child.send({})
    begin = time.monotonic()
    with pytest.raises(ChildTimeout):
        child.receive(0.7)
    assert 0.6 < time.monotonic() - begin < 3
    with pytest.raises(ChildDied, match="SIGKILL"):
        child.receive(1)


def test_a_child_that_trickles_meets_the_deadline(start: Callable[[str], Child]) -> None:
    child = start("[(os.write(channel._writer, b'\\0'), time.sleep(0.1)) for _ in range(600)]")
    child.send({})
    begin = time.monotonic()
    with pytest.raises(ChildTimeout):
        child.receive(1)
    assert time.monotonic() - begin < 3


def test_a_child_that_does_not_listen_meets_the_deadline(start: Callable[[str], Child]) -> None:
    child = start("time.sleep(60)")
    child.send({})
    begin = time.monotonic()
    with pytest.raises(ChildTimeout):
        child.send({}, bytes(10_000_000), timeout=0.7)
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ("channel.send({'a': 'x' * 1000})", 500),
        ("channel.send({}, bytes(1000))", 500),
        ("os.write(channel._writer, b'\\xff' * 16)", 1 << 30),
        ("os.write(channel._writer, b'printed by a library, not a message')", 1 << 30),
        ("os.write(channel._writer, (2).to_bytes(8) + bytes(8) + b'[]')", 1 << 30),
        ("os.write(channel._writer, (2).to_bytes(8) + bytes(8) + b'{,')", 1 << 30),
        ("os.write(channel._writer, (60000).to_bytes(8) + bytes(8) + b'[' * 60000)", 1 << 30),
    ],
    ids=["long", "long payload", "huge", "print", "list", "broken", "deep"],
)
def test_nonsense_ends_the_child(start: Callable[[str], Child], body: str, limit: int) -> None:
    child = start(body + "; time.sleep(60)")
    child.send({})
    with pytest.raises(ChildBabbled, match="no sense"):
        child.receive(10, limit)
    with pytest.raises(ChildDied):
        child.send({})
        child.receive(1)


def test_a_claimed_size_costs_no_memory(start: Callable[[str], Child]) -> None:
    child = start(f"os.write(channel._writer, {struct.pack('>QQ', 2, 1 << 29)!r} + b'{{}}'); time.sleep(60)")
    child.send({})
    with pytest.raises(ChildTimeout):
        child.receive(0.5)


def test_poll_says_whether_a_message_is_there(start: Callable[[str], Child]) -> None:
    child = start("time.sleep(0.5); channel.send({'a': 1})")
    child.send({})
    assert not child.poll(0)
    assert child.poll(10)
    assert child.receive(1) == ({"a": 1}, b"")
    assert child.poll(10)  # its end
    with pytest.raises(ChildDied, match="exit code 0"):
        child.receive(1)


def test_what_a_child_prints_is_kept_and_harms_no_message(start: Callable[[str], Child]) -> None:
    child = start("print('to stdout'); print('x' * 100_000, file=sys.stderr); channel.send({'a': 1}); os._exit(3)")
    child.send({})
    assert child.receive(10) == ({"a": 1}, b"")
    with pytest.raises(ChildDied, match="exit code 3") as death:
        child.receive(10)
    assert len(death.value.stderr) <= 8192
    assert death.value.stderr.endswith("x\n")


def test_closing_lets_the_child_end_and_leaves_nothing(start: Callable[[str], Child]) -> None:
    descriptors = Path("/proc/self/fd")
    before = set(descriptors.iterdir()) if descriptors.is_dir() else set()
    child = start("channel.receive()")
    child.send({})
    child.close()
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    if before:
        assert set(descriptors.iterdir()) <= before
    assert not [thread for thread in threading.enumerate() if "_keep_stderr" in thread.name]
