"""What reads and encodes files for `ragcli ingest` and `watch`: made when it is first needed, and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ragcli.cli import console

if TYPE_CHECKING:
    from ragcli.embedding.base import Embedder
    from ragcli.parsing.pool import ParserPool
    from ragcli.settings import Settings
    from ragcli.storage.index import Index


class Tools:
    """The parsers and the encoder of an index; their processes end with the body of `with`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parser: ParserPool | None = None
        self._embedder: Embedder | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def parser(self) -> ParserPool:
        """Return the child processes that parse files."""
        from ragcli import parts

        if self._parser is None:
            self._parser = self._open.enter_context(parts.parser_pool(self._settings))
        return self._parser

    def embedder(self, index: Index) -> Embedder:
        """Return the encoder that made an index, or that makes it, fetched if need be. Raises what fetching raises."""
        from ragcli import parts

        if self._embedder is None or index.encoder not in ("", self._embedder.id):
            process = self._open.enter_context(parts.llama_process(self._settings))
            with console.bar("fetching the encoder") as bar:
                self._embedder = parts.embedder(
                    index.encoder or self._settings.encoder,
                    self._settings,
                    process,
                    lambda label, done, total: bar.update(done, total, label),
                )
        index.adopt(self._embedder)
        return self._embedder


@contextmanager
def lent(tools: Tools | None, settings: Settings, index: Index) -> Iterator[tuple[ParserPool, Embedder]]:
    """Give the parsers and the encoder of some tools, or of new ones that end with the body."""
    with ExitStack() as stack:
        used = tools or stack.enter_context(Tools(settings))
        yield used.parser(), used.embedder(index)
