"""The real worker, on a machine whose extra buffer types fault at the first prompt."""

from __future__ import annotations

from faulty_model_worker import FaultyChannel

from ragcli.child import serve
from ragcli.llama.worker import run


class LateFaultyChannel(FaultyChannel):
    """A channel that ends its process when it is asked to generate."""

    fault_at = "generate"


if __name__ == "__main__":
    run(LateFaultyChannel(serve()))
