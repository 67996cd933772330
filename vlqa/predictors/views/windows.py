"""Square windows of a picture: LIQE's, and the overlapping patches of natural-scene statistics."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vlqa.errors import ConfigError
from vlqa.functional.patches import PatchRule, liqe_patch_corners, liqe_size
from vlqa.predictors.views.base import Configured, Patchwork, as_patches, check_positive, resize
from vlqa.predictors.views.whole import WholeImage
from vlqa.types import Pixels


@dataclass(frozen=True)
class LiqePatches(Configured):
    """LIQE's windows: at most 15 of 224×224 px, spread over the picture (LIQE a64655f, IQA-PyTorch 01ae427).

    Attributes:
        rule: "demo" (as intended) or "pyiqa" (no reduction to 768 px, stride 32 only).
        size: side of a window in px.
        limit: most windows of a picture.
    """

    rule: PatchRule = "demo"
    size: int = 224
    limit: int = 15

    kind: ClassVar[str] = "liqe"
    averages: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "size", "limit")
        if self.rule not in get_args(PatchRule):
            raise ConfigError(f"patches must be one of {', '.join(get_args(PatchRule))}, not {self.rule!r}")

    def patchwork(self, height: int, width: int) -> Patchwork:
        """Where the windows of a picture of a size lie."""
        height, width = self.seen(height, width)
        corners = liqe_patch_corners(height, width, self.size, self.limit, self.rule).tolist()
        return Patchwork(height, width, self.size, tuple(map(tuple, corners)))

    def seen(self, height: int, width: int) -> tuple[int, int]:
        """See `View`."""
        return liqe_size(height, width, self.size, self.rule)

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "p 3 s s"]:
        """The windows, in raster order; no other is cut."""
        work = self.patchwork(*pixels.shape[:2])
        resized = resize(pixels, work.height, work.width, Image.Resampling.BILINEAR)
        return as_patches(np.stack([resized[y : y + self.size, x : x + self.size] for y, x in work.corners]))


@dataclass(frozen=True)
class PatchGrid(Configured):
    """Overlapping square patches over the whole picture, as natural-scene statistics are taken (NIQE, GRepQ).

    Attributes:
        size: side of a patch in px; a picture with a shorter side is enlarged until one fits.
        stride: from one patch to the next, in px.
        max_pixels: a larger picture is reduced to this area, so that memory stays bounded.
    """

    size: int = 96
    stride: int = 48
    max_pixels: int = 2**24

    kind: ClassVar[str] = "patches"
    averages: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "size", "stride", "max_pixels")

    def patchwork(self, height: int, width: int) -> Patchwork:
        """Where the patches of a picture of a size lie."""
        height, width = self.seen(height, width)
        rows, columns = (range(0, length - self.size + 1, self.stride) for length in (height, width))
        return Patchwork(height, width, self.size, tuple(itertools.product(rows, columns)))

    def seen(self, height: int, width: int) -> tuple[int, int]:
        """See `View`."""
        return WholeImage(min_side=self.size, max_pixels=self.max_pixels).size(height, width)

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "p 3 s s"]:
        """All patches, in raster order; what is left at the right and lower edge is not seen."""
        work = self.patchwork(*pixels.shape[:2])
        pixels = resize(pixels, work.height, work.width, Image.Resampling.BICUBIC)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (self.size, self.size), axis=(0, 1))
        chosen = windows[:: self.stride, :: self.stride]  # (rows, columns, 3, size, size), not yet copied
        return torch.from_numpy(chosen.reshape(-1, 3, self.size, self.size).copy())
