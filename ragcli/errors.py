"""Every error that ragcli raises on purpose, with the exit code that each one means.

    RagcliError                    1   base: a message, and a hint with the next command
    ├── UsageError                 2   wrong usage or settings; no given path exists
    ├── IndexError_                4   the index cannot be used
    │   ├── IndexMissing           4   there is none here
    │   ├── IndexLocked            4   another process is writing to it
    │   ├── IndexDamaged           4   its files contradict each other
    │   ├── IndexTooNew            4   a later ragcli wrote it
    │   └── EncoderMismatch        4   it was built with another encoder
    ├── ModelError                 5   a model is missing, bad, or failed while it ran
    │   ├── ModelMissing           5   it is not in the model store
    │   ├── ModelBad               5   the file is not what it says it is
    │   ├── ModelFailed            5   it was loaded, and died or hung
    │   └── DownloadFailed         5   it could not be fetched, or the network is forbidden
    └── ParseFailed                -   one file could not be read; the run goes on without it

Foreign exceptions are turned into these where the foreign call is made, and nowhere else.
"""

from __future__ import annotations


class RagcliError(Exception):
    """Base of all errors that a user can be told about in one line."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RagcliError):
    """The command line, a setting or an input file is wrong."""

    exit_code = 2


class IndexError_(RagcliError):
    """The index cannot be used as it is."""

    exit_code = 4


FREE_SPACE = "free some disk space and run it again; what was committed is in the index"
"""The hint where SQLite, of the catalog's or of Chroma's, finds the disk full."""


class IndexMissing(IndexError_):
    """There is no index at the place that was asked for."""


class IndexLocked(IndexError_):
    """Another process holds the writer's lock."""


class IndexDamaged(IndexError_):
    """The parts of the index contradict each other, or cannot be read."""


class IndexTooNew(IndexError_):
    """The index has a format version that this program does not know."""


class EncoderMismatch(IndexError_):
    """The index was built with another encoder, or its encoder is not at hand."""


class ModelError(RagcliError):
    """A model is missing, bad, or failed."""

    exit_code = 5


class ModelMissing(ModelError):
    """No such model in the model store."""


class ModelBad(ModelError):
    """A model file fails its checks."""


class ModelFailed(ModelError):
    """A model died, hung, or refused while it ran."""


class DownloadFailed(ModelError):
    """A model could not be fetched."""


class ParseFailed(RagcliError):
    """One file could not be read. `message` is the reason that the user sees beside its name."""
