"""Where and how precisely to compute: the one place that turns `device` and `precision` words into torch objects."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Literal, get_args

import torch

from vlqa.errors import ConfigError
from vlqa.machine import FREE_SHARE, free_memory_bytes

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on.

    Args:
        device: "auto" (CUDA where there is one, then Apple's MPS, then the CPU) or anything `torch.device` takes.

    Raises:
        ConfigError: the word names no device, or one that this machine lacks.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:N or mps, not {device!r}") from None
    try:
        torch.zeros(1, device=resolved).item()  # the meta device holds no numbers, a missing one nothing at all
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ConfigError(f"device {str(device)!r} cannot be used by torch on this machine; use --device cpu") from None
    return resolved


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of weights and activations (weights are cast, no autocast: 5× faster on AMX CPUs).

    Args:
        precision: "fp32", "bf16" or "fp16".
        device: where the model will run; fp16 is refused on the CPU, where it is slow and inexact.

    Raises:
        ConfigError: an unknown word, or fp16 on a CPU.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"precision must be one of {', '.join(get_args(Precision))}, not {precision!r}")
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("fp16 needs a GPU; use --precision bf16 or fp32 on the CPU")
    return _DTYPES[precision]


_BYTES_AN_ENTRY = 12 << 20  # of activations a picture of 224×224 in CLIP's RN50, the hungriest of the encoders
_LARGEST_BATCH = {"cuda": 256}
_LARGEST_CPU_BATCH = 32  # more was slower on 2 cores


def default_batch_size(device: torch.device) -> int:
    """Pictures of 224×224 an encoder call: as many as an eighth of the free memory holds, but no more than help.

    Scores do not depend on it, beyond the rounding of sums.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory_bytes()
    return max(1, min(_LARGEST_BATCH.get(device.type, _LARGEST_CPU_BATCH), free // (FREE_SHARE * _BYTES_AN_ENTRY)))


def cache_dir() -> Path:
    """The folder for everything that can be computed again; it is not created here.

    `$VLQA_CACHE`, else `$XDG_CACHE_HOME/vlqa`, else `~/.cache/vlqa`.
    """
    if override := os.environ.get("VLQA_CACHE"):
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vlqa"


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h

_KEPT_BYTES = 2**30

_SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones, instead of asking the kernel for each anew.

    A network on CPUs frees and allocates hundreds of megabytes a batch, whose pages the kernel must clear each time. It
    holds for the whole process; what is free at the end of the heap beyond 1 GiB still goes back. Nothing happens with
    other C libraries, or where the environment sets glibc's malloc.
    """
    if any(name in os.environ for name in _SET_BY_USER):
        return
    with contextlib.suppress(OSError, AttributeError):  # other C libraries
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
