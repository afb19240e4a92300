"""Where an OpenAI-compatible endpoint is, which model is meant there, and whose key may be shown to it."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from ragcli.errors import UsageError

OPENAI = "api.openai.com"


@dataclass(frozen=True, slots=True)
class Address:
    """Where an endpoint is. `base` ends before `/chat/completions`; `host` is what a user sees, with the port."""

    base: str
    query: str
    host: str
    name: str
    model: str
    is_local: bool
    is_encrypted: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read an address. Raises UsageError, which never repeats what may be a secret."""
        try:
            parts = urlsplit(url)
            name, port = parts.hostname or "", parts.port
        except ValueError:
            parts, name, port = SplitResult("", "", "", "", ""), "", None
        if parts.scheme not in ("http", "https") or not name or re.search(r"[\s\x00-\x1f\x7f]", url):
            raise UsageError("the endpoint is not an http or https address", "such as http://127.0.0.1:8080#MODEL")
        if "@" in parts.netloc:
            raise UsageError("the endpoint's address holds a user name or password", "set RAGCLI_API_KEY to the key")
        shown = f"[{name}]" if ":" in name else name
        host = shown if port is None else f"{shown}:{port}"
        path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        return cls(
            base=f"{parts.scheme}://{host}{path}",
            query=f"?{parts.query}" if parts.query else "",
            host=host,
            name=name,
            model=unquote(parts.fragment),
            is_local=_is_loopback(name),
            is_encrypted=parts.scheme == "https",
        )

    def url(self, path: str) -> str:
        """Return the full address of `path`."""
        return f"{self.base}{path}{self.query}"


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def key_for(url: str) -> str:
    """Return the key in the environment that is meant for `url`: OpenAI's own is given to nobody else."""
    key = os.environ.get("RAGCLI_API_KEY", "").strip()
    if not key and Address.parse(url).name == OPENAI:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
    return key
