"""Text features on disk, under a digest of all that decides them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from vlqa import artifacts, runtime

_FORMAT = "1"  # part of every key: raise it when text features are computed in another way


def key(text_digest: str, tokens: Tensor) -> str:
    """Digest of the text tower and of the tokens, in their order."""
    return hashlib.sha256(
        f"{_FORMAT}|{text_digest}|{artifacts.digest_tensors({'tokens': tokens.long()})}".encode()
    ).hexdigest()


def path(key: str) -> Path:
    """The file of a key; it need not exist."""
    return runtime.cache_dir() / "text" / f"{key}.safetensors"


def read(key: str) -> Tensor | None:
    """The features stored under a key, or None where there are none, or where the file is damaged."""
    try:
        with safetensors.safe_open(path(key), framework="pt") as file:
            features: Tensor = file.get_tensor("features")
            sound = (file.metadata() or {}).get("sha256") == artifacts.digest_tensors({"features": features})
    except (OSError, safetensors.SafetensorError):
        return None
    return features if sound else None


def write(key: str, features: Tensor) -> bool:
    """Store features; False where the cache folder cannot be written, which is no error: they are computed again.

    Two processes may write one key at once: each writes its own temporary file and renames it, whole.
    """
    features = features.detach().to("cpu", torch.float32).contiguous()
    try:
        artifacts.write_tensors(
            path(key), {"features": features}, {"sha256": artifacts.digest_tensors({"features": features})}
        )
    except OSError:
        return False
    return True
