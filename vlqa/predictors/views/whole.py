"""The whole picture as one patch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.predictors.views.base import Configured, as_patches, check_positive, resize, resize_quickly
from vlqa.types import Pixels

_MOST_ENLARGED = 2**24


@dataclass(frozen=True)
class WholeImage(Configured):
    """The whole picture, at its own size where the bounds allow it.

    Attributes:
        max_shorter_side: a longer shorter side is reduced to this many px; None keeps it.
        min_side: a shorter side below this is enlarged, so that the encoder's strides leave something.
        multiple: both sides are resized to a multiple of this many px.
        max_pixels: a larger picture is reduced to this area, so that memory stays bounded.
        resampler: "pillow", as in the published code, or "torch", in a fifth of the time; see `resize_quickly`.
    """

    max_shorter_side: int | None = None
    min_side: int = 32
    multiple: int = 1
    max_pixels: int = 2**24
    resampler: str = "pillow"

    kind: ClassVar[str] = "whole"
    averages: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "min_side", "multiple", "max_pixels")
        if self.resampler not in ("pillow", "torch"):
            raise ConfigError(f"resampler must be pillow or torch, not {self.resampler!r}")
        if self.max_shorter_side is not None:
            check_positive(self, "max_shorter_side")
            if self.max_shorter_side < self.min_side:
                raise ConfigError(f"max_shorter_side {self.max_shorter_side} is below min_side {self.min_side}")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the encoder sees of a picture of this size.

        Raises:
            ImageDecodeError: it is so narrow that no size obeys both `min_side` and `max_pixels`.
        """
        shorter = min(height, width)
        scale = 1.0
        if self.max_shorter_side is not None and shorter > self.max_shorter_side:
            scale = self.max_shorter_side / shorter
        if height * width * scale**2 > self.max_pixels:
            scale = (self.max_pixels / (height * width)) ** 0.5
        if shorter * scale < self.min_side:
            scale = self.min_side / shorter
            if height * width * scale**2 > min(self.max_pixels, _MOST_ENLARGED):
                raise ImageDecodeError(f"a picture of {width}×{height} px is too narrow to be seen whole; crop it")
        if scale == 1 and self.multiple == 1:
            return height, width
        step = self.multiple
        return max(step, round(height * scale / step) * step), max(step, round(width * scale / step) * step)

    seen = size

    def resized(self, pixels: Pixels) -> Pixels:
        """The picture at the size that the encoder sees."""
        height, width = self.size(pixels.shape[0], pixels.shape[1])
        if self.resampler == "torch":
            return resize_quickly(pixels, height, width)
        return resize(pixels, height, width, Image.Resampling.BICUBIC)

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "1 3 h w"]:
        """The picture as one patch."""
        return as_patches(self.resized(pixels)[None])


@dataclass(frozen=True)
class Square:
    """The whole picture at the one size a backbone was trained on, by the backbone's own preprocessing.

    Attributes:
        resize: `ClipBackbone.resize`: a picture of any size to a square.
        side: of the square in px; None where it is not known.
    """

    resize: Callable[[Pixels], Pixels]
    side: int | None = None

    kind: ClassVar[str] = "square"
    averages: ClassVar[bool] = False

    def seen(self, height: int, width: int) -> tuple[int, int]:
        """See `View`."""
        if self.side is None:
            return height, width
        shorter = min(height, width)
        return -(-height * self.side // shorter), -(-width * self.side // shorter)

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "1 3 s s"]:
        """The square as one patch."""
        height, width = pixels.shape[:2]
        if max(height, width) > 1000 * min(height, width):  # the shorter side is enlarged, the longer one with it
            raise ImageDecodeError(f"a picture of {width}×{height} px is too narrow to be seen whole")
        return as_patches(self.resize(pixels)[None])

    def as_dict(self) -> dict[str, Any]:
        """Kind, as stored in config.json; the size is the backbone's."""
        return {"kind": self.kind}
