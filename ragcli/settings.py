"""Settings: one table of fields, and one rule for where a value comes from.

A flag wins over a `RAGCLI_*` variable, that over the project's `ragcli.toml`, that over the user's `config.toml`, and
that over the default. The table below makes `ragcli config show`, the documentation, and the checks.

A project file may have come with somebody else's repository. It can therefore set only the fields marked `project`,
may name a model only as the model store knows it, and may not point the index outside the project.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from ragcli.errors import UsageError

INDEX_FOLDER = ".ragcli"
PROJECT_FILE = "ragcli.toml"
USER_FILE = "config.toml"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `check` raises ValueError with what is wrong."""

    name: str
    default: Any
    help: str
    type: type = str
    project: bool = True
    check: Callable[[Any], None] | None = None

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"RAGCLI_{self.name.upper()}"

    def parse(self, value: Any) -> Any:
        """Return `value`, as text from the environment or typed from a file, in the field's type."""
        if isinstance(value, str) and self.type is not str:
            value = _from_text(self.type, value)
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, self.type) or (isinstance(value, bool) and self.type is not bool):
            raise ValueError(f"expected {_TYPE_NAMES[self.type]}")
        if self.check is not None:
            self.check(value)
        return value


_TYPE_NAMES: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def _from_text(kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(f"expected {_TYPE_NAMES[bool]}")
        return text.lower() in _TRUE
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"expected {_TYPE_NAMES[kind]}") from None


def _between(low: float, high: float) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")

    return check


def _one_of(*names: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in names:
            raise ValueError("expected one of " + ", ".join(names))

    return check


def _bare_name(value: Any) -> None:
    if "/" in value or "\\" in value or "://" in value:
        raise ValueError("a project file can only name a model that is in the model store")


FIELDS: tuple[Field, ...] = (
    Field("index", "", "folder of the index; empty means the nearest .ragcli/, else the user's own"),
    Field("offline", False, "forbid every network call", bool, project=False),
    Field("encoder", "", "encoder for a new index; empty means what the model store holds"),
    Field("model", "", "language model for ask: a name in the model store, a GGUF file, or an endpoint's URL"),
    Field("rerank", "", "reranker for search and ask: a name in the model store or a GGUF file"),
    Field("judge", "", "language model that decides weak citations: a name, a GGUF file, or an endpoint's URL"),
    Field("prompt", "", "file with the words around passages and question; empty means the shipped ones"),
    Field("device", "auto", "where the language model runs", check=_one_of("auto", "cpu", "gpu")),
    Field("context_size", 4096, "tokens that prompt and answer may take together", int, check=_between(256, 1 << 20)),
    Field("max_tokens", 512, "longest generated answer, in tokens", int, check=_between(1, 1 << 16)),
    Field("temperature", 0.0, "0 gives the same answer every time", float, check=_between(0, 5)),
    Field("generate_seconds", 600, "longest a language model may work on one answer", int, check=_between(1, 86_400)),
    Field(
        "abstain_below", 0.25, "without a model, ask abstains where the evidence is weaker", float, check=_between(0, 2)
    ),
    Field(
        "nothing_below", 0.08, "with a model, ask abstains where the best hit scores less", float, check=_between(0, 1)
    ),
    Field(
        "support_below",
        0.0,
        "with a model, ask abstains where the passages bear out the answer less",
        float,
        check=_between(0, 1),
    ),
    Field("stage_illusory", 0.2, "eval: stage 1 above this share of illusory answers", float, check=_between(0, 1)),
    Field("stage_flexible", 0.7, "eval: stage 3 from this share of flexible answers", float, check=_between(0, 1)),
    Field("stage_refused", 0.7, "eval: stage 3 from this share of refusals where due", float, check=_between(0, 1)),
    Field("stage_cases", 20, "eval: fewest cases of each kind for stage 3", int, check=_between(1, 1_000_000)),
    Field("stage_sure", 0.95, "eval: a stage is declared from this probability", float, check=_between(0.5, 1)),
    Field("max_file_mb", 50, "larger files are skipped", int, check=_between(1, 4096)),
    Field("max_pages", 5000, "longest PDF that is read", int, check=_between(1, 1_000_000)),
    Field(
        "parse_seconds",
        120,
        "longest that one file, or one scanned page, may take to parse",
        int,
        check=_between(1, 86_400),
    ),
    Field("parse_memory_mb", 2048, "most memory that parsing one file may take", int, check=_between(256, 1 << 20)),
    Field(
        "ocr",
        "auto",
        "scanned pages of PDFs are read by OCR: auto where it is installed, on insists on it",
        check=_one_of("auto", "on", "off"),
    ),
    Field("jobs", 0, "files parsed at once; 0 means one for each core", int, check=_between(0, 256)),
)
BY_NAME: dict[str, Field] = {f.name: f for f in FIELDS}


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved values by field name, and the origin of each."""

    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


def home() -> Path:
    """Return the folder of models and user settings: `RAGCLI_HOME`, else the platform's user data folder."""
    given = os.environ.get("RAGCLI_HOME", "")
    return Path(given).expanduser() if given else Path(platformdirs.user_data_dir("ragcli", appauthor=False))


def user_file() -> Path:
    """Return the path of the user's settings file, which may not exist."""
    return home() / USER_FILE


def project_folder(start: Path | None = None) -> Path | None:
    """Return the nearest folder at or above `start` that holds an index folder or a project file."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / INDEX_FOLDER).is_dir() or (folder / PROJECT_FILE).is_file():
            return folder
    return None


def index_folder(settings: Settings) -> Path:
    """Return where the index is or would be. It need not exist."""
    if settings.index:
        return Path(settings.index).expanduser().absolute()
    project = project_folder()
    if project is not None and (project / INDEX_FOLDER).is_dir():
        return project / INDEX_FOLDER
    return home() / "index"


def resolve(flags: Mapping[str, Any] | None = None) -> Settings:
    """Resolve every field. Flags that are None count as not given.

    Raises UsageError naming the file or variable that is wrong.
    """
    values = {f.name: f.default for f in FIELDS}
    origins = dict.fromkeys(values, "default")
    _apply_file(user_file(), "user", values, origins)
    project = project_folder()
    if project is not None:
        _apply_file(project / PROJECT_FILE, "project", values, origins)
    for f in FIELDS:
        text = os.environ.get(f.variable)
        if text is not None:
            _apply(f, text, f.variable, values, origins)
    for name, value in (flags or {}).items():
        if value is not None:
            _apply(BY_NAME[name], value, f"--{name.replace('_', '-')}", values, origins)
    return Settings(values, origins)


def _apply(f: Field, value: Any, origin: str, values: dict[str, Any], origins: dict[str, str]) -> None:
    try:
        values[f.name] = f.parse(value)
    except ValueError as error:
        raise UsageError(f"{origin}: {f.name} is {value!r}: {error}") from None
    origins[f.name] = origin


def _apply_file(path: Path, layer: str, values: dict[str, Any], origins: dict[str, str]) -> None:
    for name, value in read_file(path).items():
        f = BY_NAME.get(name)
        if f is None:
            raise UsageError(f"{path}: no setting is called {name!r}", "`ragcli config show` lists them")
        if layer == "project":
            value = _from_project(f, value, path)
        _apply(f, value, f"{path}", values, origins)


def _from_project(f: Field, value: Any, path: Path) -> Any:
    if not f.project:
        raise UsageError(f"{path}: {f.name} can only be set by the user", f"set it with `ragcli config set {f.name}`")
    if f.name in ("model", "encoder", "rerank", "judge") and isinstance(value, str):
        try:
            _bare_name(value)
        except ValueError as error:
            raise UsageError(f"{path}: {f.name}: {error}", "give it with a flag, or `ragcli models add` it") from None
    if f.name in ("index", "prompt") and isinstance(value, str) and value:
        place = (path.parent / value).resolve()
        if not place.is_relative_to(path.parent.resolve()):
            raise UsageError(f"{path}: {f.name}: {value} lies outside the project", f"give it with --{f.name}")
        return str(place)
    return value


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file; none where there is no file.

    Raises UsageError where it cannot be read or is over 1 MB.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(1 << 20)
        return tomllib.loads(data.decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}", "mend or remove the file") from None


def write_user(name: str, text: str) -> Any:
    """Set one field in the user's file, keeping comments and order, and return its value."""
    import tomlkit

    f = BY_NAME.get(name)
    if f is None:
        raise UsageError(f"no setting is called {name!r}", "`ragcli config show` lists them")
    try:
        value = f.parse(text)
    except ValueError as error:
        raise UsageError(f"{name} is {text!r}: {error}") from None
    path = user_file()
    read_file(path)
    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    document[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(tomlkit.dumps(document), "utf-8")
    return value
