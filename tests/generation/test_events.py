"""Streams of events from bytes: wherever they are cut, whatever they hold."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ragcli.generation.events import BadStream, Event, Thoughts, Usage, lines, read_event, read_events

STREAM = "".join(
    f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n"
    for event in (
        {"choices": [{"delta": {"role": "assistant"}}]},
        {"choices": [{"delta": {"content": "保修期"}}]},
        {"choices": [{"delta": {"reasoning": "hm"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
    )
)
EVENTS = [
    Event(),
    Event(text="保修期"),
    Event(thought=True),
    Event(finish="stop"),
    Event(usage=Usage(5, 3, 0)),
    Event(),
]


@given(st.lists(st.integers(0, 400), max_size=20))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    data = f": hello\nevent: x\n{STREAM}data: [DONE]\n".encode()
    ends = [0, *sorted(cuts), len(data)]
    blocks = [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    assert list(read_events(blocks)) == EVENTS


@given(st.lists(st.binary(max_size=60)))
def test_lines_join_to_the_stream(blocks: list[bytes]) -> None:
    assert list(lines(blocks)) == b"".join(blocks).removesuffix(b"\n").split(b"\n") * (b"".join(blocks) != b"")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "delta", "content", "usage", "error", "finish_reason"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_an_event_or_refused(value: object) -> None:
    try:
        event = read_event(json.dumps(value).encode())
    except BadStream:
        return
    event.text.encode("utf-8")
    assert event.usage is None or event.usage.prompt_tokens > 0


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_refused(data: bytes) -> None:
    try:
        list(read_events([b"data:" + data]))
    except BadStream as bad:
        assert "\n" not in str(bad)


THOUGHT = st.text(alphabet="ab </\n", max_size=12).filter(lambda text: "</think>" not in text)


@given(
    st.lists(THOUGHT, max_size=2),
    st.text(alphabet="ab<think>/ ", max_size=20),
    st.lists(st.integers(0, 60), max_size=9),
)
def test_thoughts_are_taken_off_wherever_they_are_cut(thoughts: list[str], answer: str, cuts: list[int]) -> None:
    answer = "x" + answer
    text = "".join(f" <think>{thought}</think>\n" for thought in thoughts) + answer
    ends = [0, *sorted(cuts), len(text)]
    filter_ = Thoughts()
    found = "".join(filter_.feed(text[start:end]) for start, end in zip(ends, ends[1:], strict=False))
    assert found + filter_.end() == answer
    assert filter_.seen is bool(thoughts)


def test_what_only_begins_like_a_thought_is_text() -> None:
    thoughts = Thoughts()
    assert thoughts.feed(" <thi") == ""
    assert thoughts.end() == " <thi"
    assert Thoughts().feed(" <this>") == " <this>"
