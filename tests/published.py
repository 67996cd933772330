"""Checkpoints of encoders in the layouts their authors publish, filled with the numbers of `tests/synthetic.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torchvision
from torch import Tensor

from tests.synthetic import checkpoint, picture

_PLACES = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def resnet_shapes(
    name: str, prefix: str, *, sequential: bool = False, classifier: bool = False
) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for key, tensor in torchvision.models.get_model(name, weights=None).state_dict().items():
        first, _, rest = key.partition(".")
        if first != "fc" or classifier:
            shapes[f"{prefix}{_PLACES[first] if sequential else first}.{rest}"] = tuple(tensor.shape)
    return shapes


def _linear(name: str, out: int, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    parts: dict[str, tuple[int, ...]] = {
        f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")
    }
    return {**parts, f"{name}.num_batches_tracked": ()}


def contrique(seed: int) -> dict[str, Tensor]:
    projector: dict[str, tuple[int, ...]] = {"projector.0.weight": (2048, 2048), **_norm("projector.1", 2048)}
    projector |= {"projector.3.weight": (128, 2048), **_norm("projector.4", 128)}
    return checkpoint(resnet_shapes("resnet50", "encoder.", sequential=True) | projector, seed)


def arniqa(seed: int) -> dict[str, Tensor]:
    projector = _linear("projector.0", 128, 2048) | _linear("projector.2", 128, 128)
    return checkpoint(resnet_shapes("resnet50", "model.", sequential=True) | projector, seed)


def re_iqa(seed: int) -> dict[str, Any]:
    head = _linear("module.head.0", 2048, 2048) | _linear("module.head.2", 128, 2048)
    return {"model": checkpoint(resnet_shapes("resnet50", "module.encoder.") | head, seed), "epoch": 1}


def grepq_low(seed: int) -> dict[str, Any]:
    sequential = resnet_shapes("resnet18", "encoder.resnet18.", sequential=True)
    named = resnet_shapes("resnet18", "encoder.base_model.", classifier=True)
    classifier = {name: shape for name, shape in named.items() if ".fc." in name}
    head = _linear("head.0", 512, 512) | _linear("head.2", 128, 512)
    weights = checkpoint(sequential | classifier | head, seed)
    for name, place in _PLACES.items():
        for key in sequential:
            if key.startswith(f"encoder.resnet18.{place}."):
                weights[key.replace(f"resnet18.{place}.", f"base_model.{name}.")] = weights[key].clone()
    return {"model": {"state_dict": weights}, "current_iteration": 1}


def grepq_high(clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower of a CLIP, without the prefix of its names."""
    return {name.removeprefix("visual."): tensor for name, tensor in clip.items() if name.startswith("visual.")}


def write_pristine(path: Path, count: int, side: int = 96) -> Path:
    patches = np.stack([picture(side, side, 10000 + number) for number in range(count)])
    with h5py.File(path, "w") as file:
        file["data"] = patches.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return path


def write(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path
