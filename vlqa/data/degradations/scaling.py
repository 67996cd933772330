"""Between 8-bit pixels and unit floats."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vlqa.types import Pixels

UnitPixels: TypeAlias = npt.NDArray[np.float32]
"""float32, H×W×3 (or one plane H×W), nominally in [0, 1]; a damage may leave that range until it is rounded."""


def to_unit(image: Pixels) -> UnitPixels:
    """8-bit pixels as float32 in [0, 1]."""
    return image.astype(np.float32) * np.float32(1 / 255)


def to_pixels(unit: UnitPixels) -> Pixels:
    """Round to the nearest of the 256 values; what lies outside [0, 1] is clipped."""
    return np.clip(np.rint(unit * np.float32(255)), 0, 255).astype(np.uint8)
