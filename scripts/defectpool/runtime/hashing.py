"""Identities, seeds and shards that depend on content alone.

Python's own `hash` changes from process to process, and a running number changes when a host is
added. Everything here is SHA-256 of what the thing is.
"""

import hashlib


def digest(*parts: object) -> bytes:
    """SHA-256 of the parts' texts, kept apart so that ("a", "bc") is not ("ab", "c")."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()


def content_id(*parts: object, length: int = 12) -> str:
    """Return a short hexadecimal name for what the parts say."""
    return digest(*parts).hex()[:length]


def seed(*parts: object) -> int:
    """Return a seed in [0, 2**63) for what the parts say."""
    return int.from_bytes(digest(*parts)[:8], "big") >> 1


def shard_of(host_id: str, shards: int) -> int:
    """Shard in [0, shards) of a host: the same whatever other hosts there are."""
    return int.from_bytes(digest("shard", host_id)[:8], "big") % shards


def shard_labels(shards: int) -> list[str]:
    """Names of all shards, in order: "000", "001", ..."""
    width = max(3, len(str(shards - 1)))
    return [f"{i:0{width}d}" for i in range(shards)]
