"""How alike the versions of a photograph look (FSIM), computed once and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from vlqa.artifacts import write_tensors
from vlqa.data.crops import as_tensor
from vlqa.functional.fsim import fsim_matrix
from vlqa.runtime import cache_dir
from vlqa.types import Pixels

_SHORTER_PX = 256
_REVISION = 1  # of the maths: a change makes old entries unfindable


def key(photo: Path, versions: Any) -> str:
    """Name of an entry: digests of the file and of how its versions were made.

    Args:
        photo: whose bytes count, not its place.
        versions: JSON-able.
    """
    made = json.dumps([_REVISION, _SHORTER_PX, versions])
    return hashlib.sha256(photo.read_bytes() + made.encode()).hexdigest()


def cached(key: str, versions: Sequence[Pixels]) -> Float[Tensor, "v v"]:
    """FSIM of every pair of versions at 256 px on the shorter side; from the disk where it was computed before."""
    path = cache_dir() / "fsim" / key[:2] / f"{key}.safetensors"
    with contextlib.suppress(OSError, KeyError, safetensors.SafetensorError):
        matrix = safetensors.torch.load_file(path)["similarity"]
        if matrix.shape == (len(versions), len(versions)):
            return matrix
    matrix = fsim_matrix(torch.stack([as_tensor(_reduced(version)) for version in versions]).float() / 255)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
        write_tensors(path, {"similarity": matrix})
    return matrix


def _reduced(version: Pixels) -> Pixels:
    factor = _SHORTER_PX / min(version.shape[:2])
    if factor >= 1:
        return version
    width, height = (round(side * factor) for side in (version.shape[1], version.shape[0]))
    return cv2.resize(version, (width, height), interpolation=cv2.INTER_AREA)
