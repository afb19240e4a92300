"""`ragcli chat`: questions one after another, each with what was said before it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ragcli.cli import asking, console, options
from ragcli.cli.search import how, show_hit
from ragcli.errors import RagcliError

if TYPE_CHECKING:
    from ragcli.answering import Answer
    from ragcli.cli.asking import Asker, Request
    from ragcli.conversation import Conversation
    from ragcli.settings import Settings

_HELP = """/sources        passages found for the last answer; cited ones are marked
/show N         passage N whole
/model [NAME]   which model answers; with a name, path or URL, another one
/save [FILE]    write the conversation to a Markdown file
/new            forget what was said
/quit           end (so does Ctrl-D)"""
MAX_LINE = 1_000_000


def chat(
    limit: asking.Limit = 5,
    collection: options.Collections = None,
    mode: options.SearchMode = "hybrid",
    source: options.Sources = None,
    min_score: options.MinScore = 0.0,
    rerank: options.Rerank = "",
    model: asking.Model = "",
    adapter: asking.Adapter = None,
    adapter_scale: asking.AdapterScale = 1.0,
    device: asking.Device = None,
    temperature: asking.Temperature = None,
    seed: asking.Seed = 0,
    max_tokens: asking.MaxTokens = None,
    judge: asking.JudgeName = "",
    prompt: asking.Prompt = None,
    index: options.IndexDir = None,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Ask one question after another; each may lean on what was said. Reads lines from a pipe, too.

    /help lists what else can be typed. With --json, one line for each question.
    """
    settings = asking.settings_of(
        index,
        model=model,
        device=device,
        temperature=temperature,
        max_tokens=max_tokens,
        rerank=rerank,
        judge=judge,
        prompt=prompt,
    )
    chosen, filters = how(mode, collection, source, min_score)
    request = asking.Request(limit, chosen, filters, seed, adapter, adapter_scale)
    from ragcli.conversation import Conversation

    chat = _Chat(settings, request, json, Conversation())
    lines = _lines()
    while (wanted := chat.serve(lines)) is not None:  # once for each model
        chat.settings = replace(settings, values={**settings.values, "model": wanted})
        chat.request = request if wanted == settings.model else replace(request, adapter=None)
    if chat.failed:
        raise typer.Exit(chat.failed)


@dataclass
class _Chat:
    """One conversation. `failed` is the exit code of the last question that could not be answered, in a pipe."""

    settings: Settings
    request: Request
    json: bool
    conversation: Conversation
    failed: int = 0
    fallback: list[str] = field(default_factory=list)

    def serve(self, lines: Iterator[str]) -> str | None:
        """Answer lines until they end, or until another model is wanted: then return its name."""
        try:
            with asking.asker(self.settings, self.request) as asker:
                if _is_interactive():
                    console.say(f"{asker.writer.name} answers. /help lists commands, Ctrl-D ends.", "dim")
                for line in lines:
                    name, _, argument = line.partition(" ")
                    if name in ("/quit", "/exit"):
                        break
                    if name == "/model" and argument.strip():
                        self.fallback.append(self.settings.model)
                        return argument.strip()
                    self.take(asker, line)
            return None
        except RagcliError as error:
            if not self.fallback:
                raise
            console.error(error.message, error.hint)
            if not _is_interactive():
                self.failed = error.exit_code
            return self.fallback.pop()

    def take(self, asker: Asker, line: str) -> None:
        """Do what one line wants. At the keyboard, Ctrl-C ends that alone."""
        try:
            if line.startswith("/"):
                name, _, argument = line.partition(" ")
                self.command(asker, name, argument.strip())
            else:
                self.answer(asker, line)
        except KeyboardInterrupt:
            if not _is_interactive():
                raise
            console.say("interrupted")

    def answer(self, asker: Asker, question: str) -> None:
        """Answer a question, made to stand alone first where it leans on what was said."""
        try:
            standalone = self.conversation.standalone(question, asker.model, asker.template)
            if standalone != question and not self.json:
                console.say(standalone, "dim")
            streaming = not self.json and asker.model is not None
            answer = asker.ask(
                standalone, self.conversation.history, on_text=console.write_piece if streaming else None
            )
        except RagcliError as error:
            console.error(error.message, error.hint)
            self.failed = 0 if _is_interactive() else error.exit_code
            if self.json:
                console.write_json({"asked": question, "error": error.message})
            return
        self.conversation.add(answer)
        if self.json:
            console.write_json(asking.to_json(answer, asked=question))
        else:
            asking.show_answer(answer, streamed=streaming, quotes=False)
            console.write("")
        asking.say_cost(asker, answer)
        if answer.draft.interrupted and not _is_interactive():
            raise KeyboardInterrupt

    def command(self, asker: Asker, name: str, argument: str) -> None:
        """Do what a line that begins with / says."""
        match name:
            case "/help":
                console.say(_HELP)
            case "/new":
                self.conversation.answers.clear()
                console.say("forgotten", "dim")
            case "/model":
                device = asker.model.device if asker.model is not None else ""
                console.say(f"{asker.writer.name}" + (f" on {device}" if device else ""))
            case "/save":
                self.save(argument)
            case "/sources" | "/show" if not self.conversation.answers:
                console.say("nothing was asked yet")
            case "/sources":
                self.sources(self.conversation.answers[-1])
            case "/show":
                self.show(self.conversation.answers[-1], argument)
            case _:
                console.say(f"{name} is no command: /help lists them")

    def sources(self, answer: Answer) -> None:
        """List the passages of the last answer."""
        cited = {citation.marker: citation.status for citation in answer.citations}
        for number, hit in enumerate(answer.draft.hits, 1):
            status = cited.get(number)
            console.write_line(
                (f"[{number}] ", "bold"),
                console.place(hit),
                (f"  {hit.score:.3f}", "dim"),
                (f"  {status}" if status else "  not cited", asking.STATUS_STYLE[status] if status else "dim"),
            )
        if not answer.draft.hits:
            console.say("nothing was found")

    def show(self, answer: Answer, argument: str) -> None:
        """Print one passage of the last answer."""
        hits = answer.draft.hits
        if not argument.isdecimal() or not 1 <= int(argument) <= len(hits):
            console.say(f"/show N, with N from 1 to {len(hits)}" if hits else "nothing was found")
            return
        show_hit(replace(hits[int(argument) - 1], rank=int(argument)), explain=False)

    def save(self, argument: str) -> None:
        """Write the conversation to a file that is not there yet, for its owner alone."""
        path = Path(argument or f"chat-{datetime.now():%Y%m%d-%H%M%S}.md").expanduser()
        text = "\n".join(map(_markdown, self.conversation.answers))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as stream:
                stream.write(text)
        except FileExistsError:
            console.say(f"{path} is there already")
        except OSError as error:
            console.say(f"{path}: {error.strerror}")
        else:
            console.say(f"saved to {path}")


def _markdown(answer: Answer) -> str:
    rows = [f"## {' '.join(answer.question.split())}", "", answer.text, ""]
    for citation in answer.citations:
        hit = citation.hit
        place = "names no passage" if hit is None else hit.source + (f", page {hit.page}" if hit.page else "")
        rows.append(f"- [{citation.marker}] {place}: {citation.status}")
    return "\n".join([*rows, ""])


def _is_interactive() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _lines() -> Iterator[str]:
    """Give the lines that are typed, or that come through a pipe, without empty ones.

    At the prompt, Ctrl-C drops what was typed; a second one ends the command.
    """
    if sys.stdin is None:
        return
    if not _is_interactive():
        for data in sys.stdin.buffer:
            if line := data[:MAX_LINE].decode("utf-8", "replace").strip():
                yield line
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (input() then edits lines and remembers them)
    dropped = False
    while True:
        sys.stdout.flush()
        try:
            line = input("> ").strip()
        except EOFError:
            console.say("")
            return
        except KeyboardInterrupt:
            if dropped:
                raise
            dropped = True
            console.say("\nCtrl-C again, or Ctrl-D, ends", "dim")
            continue
        dropped = False
        if line:
            yield line
