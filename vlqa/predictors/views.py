"""Which pixels of a picture the encoder sees: the whole, a square, or LIQE's windows.

A view maps one decoded picture to uint8 patches of one shape. Resizing is Pillow's, on 8-bit values, as in the
published code: resampling floats instead moves scores by more than the parity tolerance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, get_args

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.functional.patches import PatchRule, liqe_patch_corners, liqe_size
from vlqa.types import Pixels

if TYPE_CHECKING:
    from vlqa.models.clip_backbone import ClipBackbone

MAX_RESIZED_PIXELS = 2**27
"""134 megapixels: only pictures many thousand times longer than wide are enlarged beyond it."""


class View(Protocol):
    """Cuts the patches that an encoder sees.

    `averages` says that an image's feature is the mean of its unit-length patch features, not the feature itself.
    """

    averages: ClassVar[bool]

    def __call__(self, pixels: Pixels) -> Tensor | Sequence[Tensor]:
        """(p, 3, h, w) uint8 patches of one picture, or several such tensors where sizes differ."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Kind and options, as stored in config.json."""
        ...


class _Configured:
    kind: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """Kind and options, as stored in config.json."""
        return {"kind": self.kind, **dataclasses.asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class WholeImage(_Configured):
    """The whole picture, at its own size where the bounds allow it.

    Attributes:
        max_shorter_side: a longer shorter side is reduced to this many px; None keeps it.
        min_side: a shorter side below this is enlarged, so that the encoder's strides leave something.
        multiple: both sides are resized to a multiple of this many px.
        max_pixels: a larger picture is reduced to this area, so that memory stays bounded.
    """

    max_shorter_side: int | None = None
    min_side: int = 32
    multiple: int = 1
    max_pixels: int = 2**24

    kind: ClassVar[str] = "whole"
    averages: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _positive(self, "min_side", "multiple", "max_pixels")
        if self.max_shorter_side is not None:
            _positive(self, "max_shorter_side")
            if self.max_shorter_side < self.min_side:
                raise ConfigError(f"max_shorter_side {self.max_shorter_side} is below min_side {self.min_side}")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that the encoder sees of a picture of this size."""
        shorter = min(height, width)
        scale = 1.0
        if self.max_shorter_side is not None and shorter > self.max_shorter_side:
            scale = self.max_shorter_side / shorter
        if height * width * scale**2 > self.max_pixels:
            scale = (self.max_pixels / (height * width)) ** 0.5
        if shorter * scale < self.min_side:
            scale = self.min_side / shorter
        if scale == 1 and self.multiple == 1:
            return height, width
        step = self.multiple
        return max(step, round(height * scale / step) * step), max(step, round(width * scale / step) * step)

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "1 3 h w"]:
        """The picture as one patch."""
        height, width = self.size(pixels.shape[0], pixels.shape[1])
        return _planes(resize(pixels, height, width, Image.Resampling.BICUBIC)[None])


@dataclass(frozen=True)
class Square:
    """The whole picture at the one size a backbone was trained on, by the backbone's own preprocessing.

    Attributes:
        resize: `ClipBackbone.resize`: a picture of any size to a square.
    """

    resize: Callable[[Pixels], Pixels]

    kind: ClassVar[str] = "square"
    averages: ClassVar[bool] = False

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "1 3 s s"]:
        """The square as one patch."""
        height, width = pixels.shape[:2]
        if max(height, width) > 1000 * min(height, width):  # the shorter side is enlarged, the longer one with it
            raise ImageDecodeError(f"a picture of {width}×{height} px is too narrow to be seen whole")
        return _planes(self.resize(pixels)[None])

    def as_dict(self) -> dict[str, Any]:
        """Kind, as stored in config.json; the size is the backbone's."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class LiqePatches(_Configured):
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
        _positive(self, "size", "limit")
        if self.rule not in get_args(PatchRule):
            raise ConfigError(f"patches must be one of {', '.join(get_args(PatchRule))}, not {self.rule!r}")

    def __call__(self, pixels: Pixels) -> UInt8[Tensor, "p 3 s s"]:
        """The windows, in raster order; no other is cut."""
        height, width = liqe_size(pixels.shape[0], pixels.shape[1], self.size, self.rule)
        resized = resize(pixels, height, width, Image.Resampling.BILINEAR)
        corners = liqe_patch_corners(height, width, self.size, self.limit, self.rule).tolist()
        return _planes(
            np.stack([resized[row : row + self.size, column : column + self.size] for row, column in corners])
        )


def view_from_dict(config: Mapping[str, Any], backbone: ClipBackbone) -> View:
    """Build a view from what `as_dict` gave.

    Args:
        config: kind and options.
        backbone: whose preprocessing `Square` uses.

    Raises:
        ConfigError: an unknown kind or option.
    """
    options = dict(config)
    kind = options.pop("kind", None)
    known = view_options(kind)
    for name in options:
        if name not in known:
            raise ConfigError(f"the view {kind!r} has no option {name!r}; it has {', '.join(known) or 'none'}")
    if kind == Square.kind:
        return Square(backbone.resize)
    return WholeImage(**options) if kind == WholeImage.kind else LiqePatches(**options)


def view_options(kind: str | None) -> tuple[str, ...]:
    """Names of the options of a kind of view.

    Raises:
        ConfigError: an unknown kind.
    """
    views: dict[str | None, tuple[str, ...]] = {
        Square.kind: (),
        **{view.kind: tuple(field.name for field in dataclasses.fields(view)) for view in (WholeImage, LiqePatches)},
    }
    if kind not in views:
        raise ConfigError(f"a view's kind must be one of {', '.join(map(str, views))}, not {kind!r}")
    return views[kind]


def resize(pixels: Pixels, height: int, width: int, resample: Image.Resampling) -> Pixels:
    """Resize with antialiasing, as Pillow does on 8-bit values; the same array where the size is already right.

    Raises:
        ImageDecodeError: the result would be enormous because the picture is extremely narrow.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if height * width > MAX_RESIZED_PIXELS:
        given, wanted = f"{pixels.shape[1]}×{pixels.shape[0]}", f"{width}×{height}"
        raise ImageDecodeError(f"a picture of {given} px is too narrow: enlarged it would have {wanted} px")
    return np.asarray(Image.fromarray(pixels).resize((width, height), resample))


def _planes(patches: Pixels) -> Tensor:
    return torch.from_numpy(np.array(patches.transpose(0, 3, 1, 2), order="C"))  # a copy: Pillow's pixels are read-only


def _positive(view: Any, *names: str) -> None:
    for name in names:
        value = getattr(view, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
