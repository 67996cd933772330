"""Published names of encoders' weights → the names `ImageEncoder` loads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from vlqa.errors import CheckpointError

_SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Places of a ResNet's children in a `Sequential`; the others hold no weights."""


def resnet_under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """A ResNet's tensors that lie under a prefix, as `trunk.*`.

    Args:
        weights: named tensors.
        prefix: with its dot; behind it torchvision's names, or numbers where the net was made a `Sequential`.
    """
    found = {}
    for name, tensor in weights.items():
        if name.startswith(prefix):
            first, dot, rest = name.removeprefix(prefix).partition(".")
            found[f"trunk.{_SEQUENTIAL.get(first, first)}{dot}{rest}"] = tensor
    return found


def named_tensors(checkpoint: Mapping[str, Any], nests: Iterable[str], prefixes: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose every name must be known.

    Args:
        checkpoint: as read.
        nests: keys to descend by, each where it is there: `{"model": {"state_dict": …}}`.
        prefixes: the beginnings of names that may occur.

    Raises:
        CheckpointError: no tensors, or a name with another beginning.
    """
    inner: Any = checkpoint
    for nest in nests:
        if isinstance(inner, Mapping) and nest in inner:
            inner = inner[nest]
    tensors = {name: value for name, value in inner.items() if isinstance(value, Tensor)} if _is_named(inner) else {}
    expected = " or ".join(f"{prefix}*" for prefix in prefixes)
    if not tensors:
        found = ", ".join(map(str, list(checkpoint)[:4])) or "nothing"
        raise CheckpointError(f"expected tensors named {expected}; found {found}")
    for name in tensors:
        if not name.startswith(tuple(prefixes)):
            raise CheckpointError(f"unknown name {name}, expected {expected}; is this the file of another method?")
    return tensors


def check_copies(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Refuse a file that holds the same weights twice where the two differ.

    Raises:
        CheckpointError: names the first that differs or stands once only.
    """
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other or not torch.equal(one[name], other[name]):
            raise CheckpointError(f"the two copies of {name} in this file differ; it was damaged or edited")


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
