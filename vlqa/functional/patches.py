"""Which windows of a picture LIQE looks at: index arithmetic only, so that no other window is ever cut."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

PatchRule = Literal["demo", "pyiqa"]
"""`demo` is the intended behaviour (LIQE a64655f, demo.py); `pyiqa` is IQA-PyTorch 01ae427: no resize, stride 32."""


def liqe_size(height: int, width: int, size: int = 224, rule: PatchRule = "demo") -> tuple[int, int]:
    """Height and width to which LIQE resizes a picture (bilinear) before it cuts windows.

    `demo`: the shorter side goes to 768 px if it is longer. Both rules: a shorter side below `size` goes up to `size`,
    where the references fail. The longer side keeps the aspect ratio, rounded down.

    Args:
        height: of the picture, ≥ 1 px.
        width: of the picture, ≥ 1 px.
        size: side of a window in px.
        rule: "demo" or "pyiqa".
    """
    _check(rule)
    shorter, longer = sorted((height, width))
    if shorter < size:
        target = size
    elif rule == "demo" and shorter >= 768:
        target = 768
    else:
        return height, width
    scaled = int(target * longer / shorter)
    return (target, scaled) if height <= width else (scaled, target)


def liqe_patch_corners(
    height: int, width: int, size: int = 224, limit: int = 15, rule: PatchRule = "demo"
) -> Int[Tensor, "n 2"]:
    """Top-left corners of the windows that LIQE scores, in raster order.

    Of the P windows on a grid of stride 48 (`demo`, if either side is ≥ 1024 px) or 32, n = min(limit, P) are taken:
    numbers i·max(1, P // n). All are distinct.

    Args:
        height: of the picture after `liqe_size`, ≥ `size`.
        width: of the picture after `liqe_size`, ≥ `size`.
        size: side of a window in px.
        limit: most windows to take.
        rule: "demo" or "pyiqa".

    Returns:
        Row and column of each window's first pixel.
    """
    _check(rule)
    if min(height, width) < size:
        raise ValueError(f"a picture of {height}×{width} px holds no {size} px window; resize it first")
    stride = 48 if rule == "demo" and max(height, width) >= 1024 else 32
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    total = rows * columns
    count = min(limit, total)
    chosen = torch.arange(count) * max(1, total // count)
    return stride * torch.stack([chosen // columns, chosen % columns], dim=1)


def _check(rule: str) -> None:
    if rule not in get_args(PatchRule):
        raise ValueError(f"rule must be one of {', '.join(get_args(PatchRule))}, not {rule!r}")
