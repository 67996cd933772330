"""A picture at several sizes, whole or in crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image
from torch import Tensor

from vlqa.errors import ConfigError
from vlqa.predictors.views.base import Configured, as_patches, check_positive, resize
from vlqa.predictors.views.whole import WholeImage
from vlqa.types import Pixels


@dataclass(frozen=True)
class Scales(Configured):
    """The picture at several sizes: whole, or cut into crops (CONTRIQUE, Re-IQA and ARNIQA see it whole and at half).

    Attributes:
        factors: each scale as a share of the picture's own size; sides are rounded down.
        crops: 0 for the whole picture, 5 for the four corners and the centre.
        size: side of a crop in px; a smaller picture is padded with black on all sides.
        filter: of the reduction, "bicubic" or "bilinear", both antialiased, by Pillow on 8-bit values.
        min_side: a shorter side below this is enlarged first.
        max_pixels: a larger picture is reduced to this area first, so that memory stays bounded.
    """

    factors: tuple[float, ...] = (1.0,)
    crops: int = 0
    size: int = 224
    filter: str = "bicubic"
    min_side: int = 32
    max_pixels: int = 2**27

    kind: ClassVar[str] = "scales"
    averages: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "size", "min_side", "max_pixels")
        object.__setattr__(self, "factors", tuple(self.factors))  # a list where it comes from JSON
        if not self.factors or not all(0 < factor <= 1 for factor in self.factors):
            raise ConfigError(f"factors must lie above 0 and not above 1, not {self.factors}")
        if self.crops not in (0, 5):
            raise ConfigError(f"crops must be 0 (the whole picture) or 5, not {self.crops!r}")
        if self.filter not in ("bicubic", "bilinear"):
            raise ConfigError(f"filter must be bicubic or bilinear, not {self.filter!r}")

    def seen(self, height: int, width: int) -> tuple[int, int]:
        """See `View`."""
        return WholeImage(min_side=self.min_side, max_pixels=self.max_pixels).size(height, width)

    def __call__(self, pixels: Pixels) -> list[Tensor]:
        """One tensor a scale: (1, 3, h, w) of the whole, or (5, 3, size, size)."""
        height, width = self.seen(*pixels.shape[:2])
        pixels = resize(pixels, height, width, Image.Resampling.BICUBIC)
        resample = Image.Resampling[self.filter.upper()]
        scaled = [
            resize(pixels, max(1, int(height * factor)), max(1, int(width * factor)), resample)
            for factor in self.factors
        ]
        return [as_patches(_five_crops(scale, self.size) if self.crops else scale[None]) for scale in scaled]


def _five_crops(pixels: Pixels, size: int) -> Pixels:
    short = [max(0, size - side) for side in pixels.shape[:2]]
    if any(short):
        around = [(total // 2, total - total // 2) for total in short]
        pixels = np.pad(pixels, (*around, (0, 0)))
    bottom, right = (side - size for side in pixels.shape[:2])
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    return np.stack([pixels[row : row + size, column : column + size] for row, column in corners])
