"""A client for the model hub, small on purpose: describe a file, download it, go on after a cut.

The hub's protocol: `HEAD` and `GET {endpoint}/{repo}/resolve/{revision}/{path}`. For a large file the answer is a
redirect to a storage host, with `X-Linked-Size` and `X-Linked-Etag` (the SHA-256) beside it; for a small one it is the
file itself, with `Content-Length` and `ETag`. `X-Repo-Commit` names the commit that a revision stands for.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from ragcli.errors import DownloadFailed, UsageError
from ragcli.models.files import BLOCK, Progress

if TYPE_CHECKING:
    import httpx

DEFAULT_ENDPOINT = "https://huggingface.co"
MAX_FILE_BYTES = 200_000_000_000
TRIES = 3
MAX_REDIRECTS = 5

_AGAIN = "try again: a download goes on where it stopped"
_ADDRESS = "a model's address is hf:OWNER/REPOSITORY/FILE.gguf, or hf:OWNER/REPOSITORY@REVISION/FILE.gguf"
_LOG_IN = "is there a log-in page before it?"
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,95}"
T = TypeVar("T")


class Unreachable(DownloadFailed):
    """The hub sent nothing of what was asked for: it does not answer, or not as a hub does."""


@dataclass(frozen=True, slots=True)
class Address:
    """A GGUF file in a repository of the hub. `revision` is a branch, a tag, or a commit."""

    repo: str
    path: str
    revision: str = "main"

    def __str__(self) -> str:
        at = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf:{self.repo}{at}/{self.path}"


def parse_address(text: str) -> Address:
    """Return what `hf:owner/repository@revision/path/to/file.gguf` names. Raises UsageError where it is no address."""
    found = re.fullmatch(rf"hf:({_PART}/{_PART})(?:@({_PART}))?/((?:{_PART}/){{0,8}}{_PART})", text)
    if found is None or ".." in text:
        raise UsageError(f"{text!r} is not the address of a model", _ADDRESS)
    repo, revision, path = found.groups()
    if not path.lower().endswith(".gguf"):
        raise UsageError(f"{text!r} names no GGUF file", _ADDRESS)
    return Address(repo, path, revision or "main")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What the hub says of a file. `size` is in bytes; `sha256` and `commit` are "" where it does not say."""

    url: str
    size: int
    etag: str
    sha256: str
    commit: str


class Hub:
    """A hub, or a mirror that speaks its protocol. Once it did not answer in time, it is not asked again.

    `answer_seconds` bounds the whole time in which the hub must say what a file is; `read_seconds` bounds the silence
    within a download; `pause_seconds` is the first pause before another try, and doubles.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        token: str = "",
        *,
        answer_seconds: float = 5.0,
        read_seconds: float = 30.0,
        pause_seconds: float = 0.5,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("HF_ENDPOINT is not an http or https address", f"the default is {DEFAULT_ENDPOINT}")
        self.host = parts.hostname
        self._token = token
        self._answer_seconds = answer_seconds
        self._read_seconds = read_seconds
        self._pause_seconds = pause_seconds
        self._silence = ""

    @classmethod
    def from_environment(cls) -> Hub:
        """Return the hub that `HF_ENDPOINT` and `HF_TOKEN` name, or the default one."""
        return cls(os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT, os.environ.get("HF_TOKEN", "").strip())

    def describe(self, repo: str, path: str, revision: str = "main") -> RemoteFile:
        """Ask what the file `path` is. Raises Unreachable, within `answer_seconds`."""
        import httpx

        if self._silence:
            raise Unreachable(self._silence, _AGAIN)
        url = f"{self.endpoint}/{quote(repo)}/resolve/{quote(revision, safe='')}/{quote(path)}"
        try:
            response = _within(self._answer_seconds, lambda: self._head(url))
        except TimeoutError:
            self._silence = f"{self.host} did not answer within {self._answer_seconds:g} seconds"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
            # Not httpx's own errors alone: bad proxy settings and a missing certificate file come out as the others.
            self._silence = f"{self.host} cannot be reached: {_first_line(error)}"
        if self._silence:
            raise Unreachable(self._silence, _AGAIN)
        if response.status_code >= 400:
            raise Unreachable(f"{self.host} answers {response.status_code} for {repo}/{path}", _status_hint(response))
        remote = _read_headers(url, response.headers)
        if not remote.etag or not 0 < remote.size <= MAX_FILE_BYTES:
            raise Unreachable(f"{self.host} does not answer as a model hub does", _LOG_IN)
        return remote

    def download(self, remote: RemoteFile, part: Path, label: str, progress: Progress) -> None:
        """Download into the file `part`, going on where an earlier download of the same content stopped.

        Raises Unreachable where nothing came, and DownloadFailed after three tries without much gain.
        """
        etag = part.with_name(f"{part.name}.etag")
        if not etag.exists() or etag.read_text("utf-8") != remote.etag:
            part.unlink(missing_ok=True)
            etag.write_text(remote.etag, "utf-8")
        failures = 0
        while (start := _size(part)) != remote.size:
            reason = self._go_on(remote, part, start, label, progress)
            if not reason:
                continue
            # A long download over a bad line may be cut often; it ends where tries bring next to nothing.
            failures = 0 if _size(part) - start >= BLOCK else failures + 1
            if failures == TRIES:
                kind = DownloadFailed if _size(part) else Unreachable
                raise kind(f"{label} could not be fetched from {self.host}: {reason}", _AGAIN)
            time.sleep(self._pause_seconds * 2 ** max(0, failures - 1))
        progress(label, remote.size, remote.size)

    def _go_on(self, remote: RemoteFile, part: Path, start: int, label: str, progress: Progress) -> str:
        """Ask for the rest of a file once. Return why it did not all come, or ""."""
        import httpx

        headers = self._headers(remote.url)
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with (
                self._client(self._read_seconds) as client,
                # httpx takes the token off where a redirect leads to another origin.
                client.stream("GET", remote.url, headers=headers, follow_redirects=True) as response,
            ):
                return self._receive(response, remote, part, start, label, progress)
        except httpx.HTTPError as error:
            return _first_line(error)

    def _receive(
        self, response: httpx.Response, remote: RemoteFile, part: Path, start: int, label: str, progress: Progress
    ) -> str:
        status = response.status_code
        if status == 416 or (status == 206 and not _continues(response, start, remote.size)):
            part.unlink(missing_ok=True)
            return "it cannot go on where the download stopped"
        if status == 429 or status >= 500:
            return f"it answers {status}"
        if status not in (200, 206):
            raise DownloadFailed(f"{self.host} answers {status} for {label}", _status_hint(response))
        if response.headers.get("content-type", "").startswith("text/html"):
            kind = DownloadFailed if start else Unreachable  # what came before it is kept
            raise kind(f"{self.host} sends a web page instead of {label}", _LOG_IN)
        done = start if status == 206 else 0
        with part.open("ab" if done else "wb") as out:
            for block in response.iter_raw():
                done += len(block)
                if done > remote.size:
                    break
                out.write(block)
                progress(label, done, remote.size)
        if done > remote.size:
            part.unlink()
            raise DownloadFailed(f"{self.host} sends more of {label} than it announced", _AGAIN)
        return "" if done == remote.size else "the connection was cut"

    def _head(self, url: str) -> httpx.Response:
        """Return the first answer that describes the file. Redirects after it lead to storage and are not followed."""
        with self._client(self._answer_seconds) as client:
            for _ in range(MAX_REDIRECTS):
                response = client.head(url, headers=self._headers(url))
                if response.next_request is None or "x-linked-size" in response.headers:
                    break
                url = str(response.next_request.url)
            return response

    def _client(self, read_seconds: float) -> httpx.Client:
        import httpx

        return httpx.Client(
            timeout=httpx.Timeout(read_seconds, connect=self._answer_seconds), max_redirects=MAX_REDIRECTS
        )

    def _headers(self, url: str) -> dict[str, str]:
        # Compressed answers would have another length than the file, and could not be resumed.
        headers = {"Accept-Encoding": "identity", "User-Agent": "ragcli"}
        if self._token and _origin(url) == _origin(self.endpoint):
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise TimeoutError. Name look-ups have no time limit but this one."""
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _read_headers(url: str, headers: httpx.Headers) -> RemoteFile:
    linked = headers.get("x-linked-etag", "")
    size = headers.get("x-linked-size") or headers.get("content-length", "")
    commit = headers.get("x-repo-commit", "")
    sha256 = _bare(linked).lower()
    return RemoteFile(
        url=url,
        size=int(size) if re.fullmatch(r"[0-9]{1,15}", size) else 0,
        etag=_bare(linked or headers.get("etag", "")),
        sha256=sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else "",
        commit=commit if re.fullmatch(r"[0-9a-f]{40}", commit) else "",
    )


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _continues(response: httpx.Response, start: int, size: int) -> bool:
    """Whether the answer to a request for the rest of a file holds just that."""
    return bool(re.fullmatch(rf"bytes {start}-{size - 1}/({size}|\*)", response.headers.get("content-range", "")))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _status_hint(response: httpx.Response) -> str:
    if response.status_code in (401, 403):
        return "check the name; where the model is not open to all, set HF_TOKEN to a token that may read it"
    if response.status_code == 404:
        return "check the names of the repository, the file and the revision, and HF_ENDPOINT"
    return "check HF_ENDPOINT, or try again later"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
