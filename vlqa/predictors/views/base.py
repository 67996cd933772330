"""What a view is, and what all of them do with pixels: resize, check, hand over."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.types import Pixels

MAX_RESIZED_PIXELS = 2**27
"""134 megapixels: only pictures many thousand times longer than wide are enlarged beyond it."""


@dataclass(frozen=True)
class Patchwork:
    """Where square patches lie in a picture.

    Attributes:
        height: of the picture as it is seen, px.
        width: of the picture as it is seen, px.
        side: of a patch, px.
        corners: row and column of each patch's first pixel, in raster order.
    """

    height: int
    width: int
    side: int
    corners: tuple[tuple[int, int], ...]


class View(Protocol):
    """Cuts the patches that an encoder sees.

    `averages` says that an image's feature is the mean of its unit-length patch features, not the feature itself.
    """

    averages: ClassVar[bool]

    def seen(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which it brings a picture of this size before anything else."""
        ...

    def __call__(self, pixels: Pixels) -> Tensor | Sequence[Tensor]:
        """(p, 3, h, w) uint8 patches of one picture, or several such tensors where sizes differ."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Kind and options, as stored in config.json."""
        ...


class Configured:
    """A view that is told by its kind and the fields of its dataclass."""

    kind: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """Kind and options, as stored in config.json."""
        return {"kind": self.kind, **dataclasses.asdict(self)}  # type: ignore[call-overload]


def resize(pixels: Pixels, height: int, width: int, resample: Image.Resampling) -> Pixels:
    """Resize with antialiasing, as Pillow does on 8-bit values; the same array where the size is already right.

    Raises:
        ImageDecodeError: the result would be enormous because the picture is extremely narrow.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    _check_resized(pixels, height, width)
    return np.asarray(Image.fromarray(pixels).resize((width, height), resample))


def resize_quickly(pixels: Pixels, height: int, width: int) -> Pixels:
    """As `resize` by bicubic, by torch, in a fifth of the time; its coarser weights move one value in 200 by 1.

    Raises:
        ImageDecodeError: as `resize`.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    _check_resized(pixels, height, width)
    writeable = pixels if pixels.flags.writeable else pixels.copy()  # torch warns of others, which Pillow gives
    planes = torch.from_numpy(writeable).permute(2, 0, 1).unsqueeze(0)  # channels last, the layout torch is fast in
    resized = functional.interpolate(planes, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


def _check_resized(pixels: Pixels, height: int, width: int) -> None:
    if height * width > MAX_RESIZED_PIXELS:
        given, wanted = f"{pixels.shape[1]}×{pixels.shape[0]}", f"{width}×{height}"
        raise ImageDecodeError(f"a picture of {given} px is too narrow: enlarged it would have {wanted} px")


def as_patches(patches: Pixels) -> UInt8[Tensor, "p 3 h w"]:
    """(p, h, w, 3) pixels as patches for an encoder."""
    return torch.from_numpy(np.array(patches.transpose(0, 3, 1, 2), order="C"))  # a copy: Pillow's pixels are read-only


def check_positive(view: Any, *names: str) -> None:
    """Refuse fields that are no whole numbers of at least 1.

    Raises:
        ConfigError: names the field.
    """
    for name in names:
        value = getattr(view, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
