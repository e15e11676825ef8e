"""Checkpoints of a training, from which a job that was killed goes on.

Two generations are kept: the new one is written beside the old ones, brought to the disk, and only
then renamed, so there is a whole one at any moment. A file carries a digest of its content; one
that is damaged is set aside and the generation before it is used.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from defectpool.runtime.atomic_write import replacing

_MARK = b"defectpool state 1\n"


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def save(path: Path, key: str, content: dict[str, Any]) -> None:
    """Save a checkpoint; the one before becomes the older generation.

    Parameters
    ----------
    path
        The file.
    key
        Digest of settings and data: a checkpoint is only ever used with the same ones.
    content
        Anything that `torch.load(weights_only=True)` reads: tensors, numbers, text, lists, dicts.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = key.encode() + b"\n" + buffer.getvalue()
    whole = _MARK + hashlib.sha256(payload).digest() + payload
    with replacing(path, needed=len(whole)) as temporary:
        temporary.write_bytes(whole)
        if path.exists():
            # a second name for the old one, put in place by renaming: no moment without a file
            link = temporary.with_name(temporary.name + ".link")
            os.link(path, link)
            link.replace(_previous(path))


def load(path: Path, key: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the newest whole checkpoint with this key, or None, and what was noticed."""
    notes = []
    for left in path.parent.glob(f".*.{path.name}*"):
        left.unlink(missing_ok=True)  # what a writer that was killed had begun
    for candidate in (path, _previous(path)):
        if not candidate.exists():
            continue
        raw = candidate.read_bytes()
        begin = len(_MARK) + 32
        payload = raw[begin:]
        if not raw.startswith(_MARK) or hashlib.sha256(payload).digest() != raw[begin - 32 : begin]:
            aside = candidate.with_name(candidate.name + ".damaged")
            candidate.replace(aside)
            notes.append(f"{candidate} is damaged and was set aside as {aside.name}")
            continue
        found, _, content = payload.partition(b"\n")
        if found.decode() != key:
            notes.append(f"{candidate} is of other settings, data or code: it is not used")
            continue
        # to the CPU: the job that goes on may have no GPU
        return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"), notes
    return None, notes
