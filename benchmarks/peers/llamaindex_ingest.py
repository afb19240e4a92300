"""The peer that ragcli's ingest is timed against: a folder of PDFs into Chroma, as LlamaIndex's documentation shows it.

It needs a virtual environment of its own (README.md beside this file) and no network: the encoder is a folder on this
machine, and whatever else LlamaIndex would fetch at run time is taken from its own wheel. Prints one JSON line.
"""

# mypy: disable-error-code="import-not-found, import-untyped"
# (LlamaIndex is never installed where the project is checked)

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import Any

CHUNK_SIZE = 256
"""In tokens of cl100k_base, LlamaIndex's default tokenizer, and with a chunk's metadata counted in."""
CHUNK_OVERLAP = 20
"""What the documentation's examples take. The class's own default of 200 would embed nearly every token three times."""
WINDOW = 256
"""Word pieces that all-MiniLM-L6-v2 reads, both special tokens included; the rest of a text is cut off."""


def main() -> None:
    """Ingest the folder and print the figures."""
    arguments = _arguments()
    with redirect_stdout(sys.stderr):  # LlamaIndex prints notices to stdout, which is for the JSON line
        report = ingest(arguments.folder, arguments.model, arguments.encoder, arguments.overlap, arguments.workers)
    sys.stdout.write(json.dumps(report) + "\n")


def ingest(folder: Path, model: Path, encoder: str, overlap: int, workers: int) -> dict[str, Any]:
    """Read, split, embed and store every file of `folder`, then search it once; return the figures (times in seconds).

    The four steps are those of `VectorStoreIndex.from_documents`, called one by one so that each can be timed. (An
    `IngestionPipeline` takes the same steps and also hashes every text for its cache, so it would be slower.)
    """
    _stay_offline()
    lap = _stopwatch()
    import chromadb
    import llama_index.readers.file  # noqa: F401  (SimpleDirectoryReader imports it when it meets the first PDF)
    from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import MetadataMode
    from llama_index.vector_stores.chroma import ChromaVectorStore

    embedding_class = _huggingface_embedding() if encoder == "torch" else _onnx_embedding()
    import_seconds = lap()
    embed = embedding_class(model)
    split = SentenceSplitter(chunk_size=CHUNK_SIZE, chunk_overlap=overlap)
    load_seconds = lap()

    with tempfile.TemporaryDirectory(prefix="llamaindex-", ignore_cleanup_errors=True) as store:
        reader = SimpleDirectoryReader(input_dir=str(folder), recursive=True)
        documents = reader.load_data(num_workers=workers if workers > 1 else None)
        phases = {"read": lap()}
        nodes = split(documents)
        phases["split"] = lap()
        nodes = embed(nodes)
        phases["embed"] = lap()
        collection = chromadb.PersistentClient(path=store).get_or_create_collection("peer")
        context = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=collection))
        index = VectorStoreIndex(nodes=nodes, storage_context=context, embed_model=embed)
        phases["store"] = lap()
        found = index.as_retriever(similarity_top_k=5).retrieve("total revenue of the year")
        phases["first_search"] = lap()
        if collection.count() != len(nodes) or not found:
            raise SystemExit(f"{collection.count()} of {len(nodes)} chunks stored, {len(found)} found")

    read = {document.metadata["file_name"] for document in documents}
    word_pieces = _word_pieces(model, [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes])
    return {
        "peer": f"llama-index-core {importlib.metadata.version('llama-index-core')}",
        "encoder": encoder,
        "chunk_overlap": overlap,
        "workers": workers,
        "import_seconds": round(import_seconds, 3),
        "load_seconds": round(load_seconds, 3),
        "phases": {name: round(seconds, 3) for name, seconds in phases.items()},
        "seconds": round(sum(phases.values()), 3),
        "files": len(read),
        "unread": sorted(path.name for path in reader.input_files if path.name not in read),
        "pages": len(documents),
        "chunks": len(nodes),
        "tokens": sum(min(count, WINDOW) for count in word_pieces),
        "truncated_chunks": sum(count > WINDOW for count in word_pieces),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time LlamaIndex's ingest of a folder of PDFs into Chroma.")
    parser.add_argument("folder", type=Path, help="the folder of PDFs")
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        help="all-MiniLM-L6-v2 in the layout of sentence-transformers; for --encoder onnx with encoder.onnx in it",
    )
    parser.add_argument("--encoder", choices=("torch", "onnx"), required=True, help="what runs the model")
    parser.add_argument("--overlap", type=int, default=CHUNK_OVERLAP, help="tokens shared by neighbouring chunks")
    parser.add_argument("--workers", type=int, default=1, help="processes that read PDFs (LlamaIndex's default: one)")
    return parser.parse_args()


def _stopwatch() -> Callable[[], float]:
    """Return a function that gives the seconds since it was last called."""
    last = perf_counter()

    def lap() -> float:
        nonlocal last
        previous, last = last, perf_counter()
        return last - previous

    return lap


def _stay_offline() -> None:
    """Point all that LlamaIndex would fetch at copies on this machine. To be called before its first import."""
    spec = importlib.util.find_spec("llama_index.core")
    if spec is None or spec.origin is None:
        raise SystemExit("llama_index is missing: install requirements.txt into a virtual environment of its own")
    static = Path(spec.origin).parent / "_static"
    # SentenceSplitter counts with tiktoken and cuts sentences with NLTK. Both would fetch their data when first used
    # (tiktoken without a time limit), but LlamaIndex's wheel carries it. It looks there of itself, unless one of these
    # variables was set before: so set them, whatever they were.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(static / "tiktoken_cache")
    os.environ["NLTK_DATA"] = str(static / "nltk_cache")
    # A folder that is not there would be taken for a model's name on the hub, and fetched.
    os.environ["HF_HUB_OFFLINE"] = "1"


def _huggingface_embedding() -> Callable[[Path], Any]:
    """Return the maker of LlamaIndex's own local encoder: sentence-transformers on torch, every setting its default."""
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    return lambda model: HuggingFaceEmbedding(model_name=str(model), device="cpu")


def _onnx_embedding() -> Callable[[Path], Any]:
    """Return an encoder class that runs `encoder.onnx` in ONNX Runtime, in the batches that LlamaIndex hands it."""
    import numpy as np
    import onnxruntime
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr

    class OnnxEmbedding(BaseEmbedding):  # type: ignore[misc, unused-ignore]
        """all-MiniLM-L6-v2: mean of the last layer over a text's word pieces, scaled to length 1."""

        _session: Any = PrivateAttr()
        _tokenizer: Any = PrivateAttr()

        def __init__(self, model: Path) -> None:
            super().__init__(model_name=str(model))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = os.cpu_count() or 1
            self._session = onnxruntime.InferenceSession(
                str(model / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = _tokenizer(model)
            self._tokenizer.enable_truncation(WINDOW)
            self._tokenizer.enable_padding()

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            encodings = self._tokenizer.encode_batch(texts)
            ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
            mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            wanted = {argument.name for argument in self._session.get_inputs()}
            hidden = self._session.run(None, {name: inputs[name] for name in inputs if name in wanted})[0]
            weights = mask[:, :, None].astype(np.float32)
            means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
            vectors: list[list[float]] = (means / np.linalg.norm(means, axis=1, keepdims=True)).tolist()
            return vectors

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_text_embeddings([text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    return OnnxEmbedding


def _tokenizer(model: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    # The file itself asks for 128 word pieces, cut or padded; sentence-transformers overrides that, and so do we.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _word_pieces(model: Path, texts: Sequence[str]) -> list[int]:
    """Return how many word pieces each text has, special tokens included, before any is cut off."""
    return [len(encoding.ids) for encoding in _tokenizer(model).encode_batch(list(texts))]


if __name__ == "__main__":
    main()
