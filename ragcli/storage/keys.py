"""Names made of content: what says the same has the same name, so that doing anything twice is harmless."""

from __future__ import annotations

import hashlib


def chunk_id(collection: str, source: str, start: int, end: int, text: str) -> str:
    """Return the id of a chunk, 20 hexadecimal digits: where it is, and what it says."""
    identity = "\0".join((collection, source, str(start), str(end), text))
    return hashlib.blake2b(identity.encode(), digest_size=10).hexdigest()


def vector_key(fingerprint: str, text: str) -> bytes:
    """Return the key of the vector that the encoder with a fingerprint makes of a text, 20 bytes."""
    return hashlib.blake2b(f"{fingerprint}\0{text}".encode(), digest_size=20).digest()
