"""Checkpoints and pictures that come out the same on every machine: parity can be tested without published weights.

A stream of numbers is NumPy's Philox, keyed by a seed and what the numbers are for; `test_synthetic.py` holds digests.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlqa.models.clip import build_backbone


def stream(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=list(key)))


def checkpoint(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Tensors of the given names and shapes, scaled so that activations neither vanish nor explode."""
    return {name: torch.from_numpy(np.array(_tensor(name, shape, seed))) for name, shape in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.generic]:
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if kind == "logit_scale":
        return np.full(shape, math.log(100), np.float32)
    draw = stream(seed, zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if kind == "running_var":
        return 1 + 0.1 * np.abs(draw)
    if kind == "running_mean" or kind.endswith("bias"):
        return 0.02 * draw
    if kind.endswith("weight") and len(shape) == 1:
        return 1 + 0.05 * draw
    inputs = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    return draw * np.float32(inputs**-0.5)


def openai_checkpoint(architecture: str, seed: int) -> dict[str, Tensor]:
    """A checkpoint of an OpenAI CLIP, under OpenAI's names."""
    state = build_backbone(architecture, quick_gelu=True).state_dict()
    return checkpoint({name.removeprefix("text."): tuple(tensor.shape) for name, tensor in state.items()}, seed)


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """A picture with waves, boxes and noise."""
    numbers = stream(seed, 7)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    planes = []
    for _ in range(3):
        across, down = numbers.uniform(0.005, 0.15, 2)
        shift = numbers.uniform(0, 6.28)
        planes.append(110 + 60 * np.sin(across * columns + down * rows + shift) + 0.1 * columns - 0.05 * rows)
    image = np.stack(planes, axis=-1)
    for _ in range(12):
        y, x = (int(numbers.integers(0, side - 8)) for side in (height, width))
        tall, wide = (int(numbers.integers(8, side // 2)) for side in (height, width))
        box = image[y : y + tall, x : x + wide]
        box[:] = 0.4 * box + 0.6 * numbers.uniform(0, 255, 3)
    image = image + numbers.normal(0, 6, image.shape)
    return np.rint(image).clip(0, 255).astype(np.uint8)
