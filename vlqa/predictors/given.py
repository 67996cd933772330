"""The images of a call, whatever they are given as."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image
from torch import Tensor

from vlqa.errors import ConfigError
from vlqa.types import Source

if TYPE_CHECKING:
    from vlqa.types import ImageLike, Images


def as_iterable(images: Images | Any) -> Iterable[ImageLike]:
    """The images of a call: a path, bytes, PIL image or array of at most three axes is one image.

    Raises:
        ConfigError: something that is neither an image nor iterable.
    """
    if isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | Image.Image | Source):
        return [cast("ImageLike", images)]
    if hasattr(images, "read"):
        raise ConfigError("images must not be an open file; pass its path, or its bytes: images.read()")
    if isinstance(images, Tensor):
        raise ConfigError("images must not be a tensor; pass images.permute(1, 2, 0).numpy() of uint8, one an image")
    if isinstance(images, np.ndarray) and images.ndim <= 3 and images.dtype.kind not in "OUS":
        return [images]
    if isinstance(images, Iterable):
        return cast("Iterable[ImageLike]", images)
    expected = "a path, bytes, PIL image or uint8 H×W×3 array, or an iterable of them"
    raise ConfigError(f"images must be {expected}, not {type(images).__name__}")
