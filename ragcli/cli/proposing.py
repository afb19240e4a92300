"""Cases drafted from the index by `eval`, for a person to accept or drop."""

from __future__ import annotations

import json as json_module
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragcli.cli import console
from ragcli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from ragcli.evaluation.proposing import Write
    from ragcli.generation.base import Generator
    from ragcli.settings import Settings

UNANSWERABLE_SHARE = 0.2
QUESTION_TOKENS = 80
_ASK = {
    "en": "Write one question in English that the marked sentence answers and that can be understood without the "
    "passage. Do not give the answer away. Write nothing but the question.",
    "zh": "请用中文写一个问题，答案就在标出的句子里；不看原文也要能读懂，不要泄露答案。只写问题。",
}


def offer(settings: Settings, count: int, path: Path | None, *, seed: int, json: bool) -> None:
    """Draft cases. At a terminal, ask about each, and append those that are accepted to `path`; else print them."""
    from ragcli import parts
    from ragcli.evaluation.proposing import propose, unanswerable

    with ExitStack() as stack:
        process = stack.enter_context(parts.llama_process(settings))
        served = stack.enter_context(parts.language_models(settings, process))
        for notice in served.notices:
            console.say(notice, "yellow")
        index = parts.open_index(settings)
        stack.callback(index.close)
        console.say(f"index: {index.folder}", "dim")
        documents = [(file.source, index.catalog.document(file.id)) for file in index.catalog.files()]
        made_up = round(count * UNANSWERABLE_SHARE)
        drafts = propose(documents, count - made_up, seed=seed, write=_writer(served.model))
        drafts += unanswerable(documents, made_up, seed=seed)
    if not drafts:
        raise UsageError("nothing in this index makes a case", "ingest documents with sentences, tables or lists first")
    interactive = sys.stdin is not None and sys.stdin.isatty() and console.is_terminal("stdout") and not json
    if not interactive:
        for draft in drafts:
            console.write_json(draft)
        return
    if path is None:
        raise UsageError("no file was given for the cases", "ragcli eval CASES.jsonl --propose N")
    taken = 0
    for number, draft in enumerate(drafts, 1):
        _show(draft, f"{number} of {len(drafts)}")
        console.say("keep it? y, n, or q to end ", "cyan")
        said = sys.stdin.readline().strip().lower()
        if said.startswith("q"):
            break
        if said.startswith("y"):
            _append(path, draft)
            taken += 1
    console.say(f"{taken} cases added to {path}", "dim")


def _show(draft: Mapping[str, Any], place: str) -> None:
    console.write_line((f"{place}  ", "dim"), (draft["question"], "bold"))
    if draft["answerable"]:
        console.write("    " + " / ".join(draft["answers"]), "green")
        for gold in draft["gold"]:
            where = gold["source"] + (f" p. {gold['page']}" if gold.get("page") else "")
            console.write(f"    {where}: {' '.join(str(gold['quote']).split())[:200]}", "dim")
    else:
        left = draft.get("left_out")
        console.write(
            f"    (asked without {left}, no document answers it)" if left else "    (no document answers it)", "dim"
        )


def _append(path: Path, draft: Mapping[str, Any]) -> None:
    """Add a case at the end of a file, which its owner alone can read where it is new."""
    data = json_module.dumps(draft, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            size = stream.seek(0, 2)
            if size:
                stream.seek(size - 1)
                data = data if stream.read(1) == b"\n" else b"\n" + data
            stream.write(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "name another file") from None


def _writer(model: Generator | None) -> Write | None:
    """Return what has a language model write a question for a quote; None where there is no model."""
    if model is None:
        return None

    def write(passage: str, quote: str, lang: str) -> str | None:
        from ragcli.generation.base import Message
        from ragcli.generation.judge import fence_for

        marked = passage.replace(quote, f">>> {quote} <<<", 1)
        asked = _ASK["zh" if lang == "zh" else "en"]
        fence = fence_for(marked)
        messages = [Message("user", f"{asked}\n\n{fence}\n{marked}\n{fence}")]
        if model.count_tokens(messages) + QUESTION_TOKENS > model.context_size:
            return None
        try:
            made = model.generate(messages, max_tokens=QUESTION_TOKENS, temperature=0.0, seed=0, on_text=None)
        except ModelError as error:
            console.warn(error.message)
            return None
        if made.stopped == "interrupted":
            raise KeyboardInterrupt
        return made.text.strip()

    return write
